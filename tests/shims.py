"""Libraries that change what the system answers (LD_PRELOAD), built when they are wanted."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

LOCKS_ALWAYS_SUCCEED = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
/* As on file systems that were mounted without their lock manager: everybody gets every lock. */
int flock(int fd, int operation) { return 0; }
int lockf(int fd, int command, off_t length) { return 0; }
static int answer(int (*real)(int, int, ...), int fd, int command, void *argument) {
    if (command == F_GETLK || command == F_OFD_GETLK) { ((struct flock *) argument)->l_type = F_UNLCK; return 0; }
    if (command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW) return 0;
    return real(fd, command, argument);
}
#define SHIM(name) int name(int fd, int command, ...) { \
    va_list list; va_start(list, command); void *argument = va_arg(list, void *); va_end(list); \
    return answer((int (*)(int, int, ...)) dlsym(RTLD_NEXT, #name), fd, command, argument); }
SHIM(fcntl)
SHIM(fcntl64)
/* And the system says that it is one of these, in the file MOUNTS. */
#define OPEN(name) int name(const char *path, int flags, ...) { \
    va_list list; va_start(list, flags); mode_t mode = va_arg(list, mode_t); va_end(list); \
    const char *mounts = getenv("MOUNTS"); \
    if (mounts && !strcmp(path, "/proc/self/mounts")) path = mounts; \
    return ((int (*)(const char *, int, ...)) dlsym(RTLD_NEXT, #name))(path, flags, mode); }
OPEN(open)
OPEN(open64)
"""

AS_FAT = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* Below the folder FAT: no links, no modes, and none of the signs that Windows keeps for itself (fs/fat/namei_vfat.c,
   vfat_is_used_badchars; fs/fat/file.c, fat_allow_set_mode). */
static int below(const char *path) {
    const char *folder = getenv("FAT");
    return folder && path && !strncmp(path, folder, strlen(folder));
}
static int bad(const char *path) { return below(path) && strpbrk(path + strlen(getenv("FAT")), "\"*:<>?|\\"); }
static int below_fd(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}
#define REAL(type, name) ((type) dlsym(RTLD_NEXT, #name))
static int no(int error) { errno = error; return -1; }
int link(const char *a, const char *b) {
    return below(b) ? no(EPERM) : REAL(int (*)(const char *, const char *), link)(a, b); }
int chmod(const char *p, mode_t m) { return below(p) ? no(EPERM) : REAL(int (*)(const char *, mode_t), chmod)(p, m); }
int fchmod(int fd, mode_t m) { return below_fd(fd) ? no(EPERM) : REAL(int (*)(int, mode_t), fchmod)(fd, m); }
int fchmodat(int d, const char *p, mode_t m, int f) {
    return below(p) ? no(EPERM) : REAL(int (*)(int, const char *, mode_t, int), fchmodat)(d, p, m, f); }
int chown(const char *p, uid_t u, gid_t g) {
    return below(p) ? no(EPERM) : REAL(int (*)(const char *, uid_t, gid_t), chown)(p, u, g); }
int mkdir(const char *p, mode_t m) { return bad(p) ? no(EINVAL) : REAL(int (*)(const char *, mode_t), mkdir)(p, m); }
int rename(const char *a, const char *b) {
    return bad(b) ? no(EINVAL) : REAL(int (*)(const char *, const char *), rename)(a, b); }
#define OPEN(name) int name(const char *path, int flags, ...) { \
    va_list list; va_start(list, flags); mode_t mode = va_arg(list, mode_t); va_end(list); \
    if ((flags & O_CREAT) && bad(path)) return no(EINVAL); \
    return REAL(int (*)(const char *, int, ...), name)(path, flags, mode); }
OPEN(open)
OPEN(open64)
"""


def built(source: str, folder: Path) -> str:
    """The path of a library; the test is skipped where there is no compiler."""
    if shutil.which("gcc") is None:
        pytest.skip("builds a library: needs gcc")
    (folder / "shim.c").write_text(source)
    library = folder / "shim.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-w", "-o", library, folder / "shim.c", "-ldl"],
        check=True,
        capture_output=True,
    )
    return str(library)
