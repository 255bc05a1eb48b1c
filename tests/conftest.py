"""Its presence puts this folder on the import path, so that helpers beside it can be imported by all tests."""
