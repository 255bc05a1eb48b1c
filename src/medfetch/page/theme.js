"use strict";
// In the head, so that the page is never shown in the wrong colours first.
{
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const kept = () => {
    try {
      return localStorage.getItem("medfetch-colours") ?? "system";
    } catch {
      return "system"; // storage may be forbidden
    }
  };

  const apply = () => {
    const wanted = kept();
    document.documentElement.dataset.theme = wanted === "system" ? (dark.matches ? "dark" : "light") : wanted;
  };

  apply();
  dark.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    const choice = document.getElementById("theme");
    choice.value = kept();
    choice.addEventListener("change", () => {
      try {
        localStorage.setItem("medfetch-colours", choice.value);
        apply();
      } catch {
        if (choice.value !== "system") document.documentElement.dataset.theme = choice.value;
      }
    });
  });
}
