# The extension that ffi_build.py makes: `lib` holds what transport_engine.h declares. Both are
# untyped, because a C struct's fields are attributes that no stub of cffi knows.

from typing import Any

ffi: Any
lib: Any
