// How a call ends: nothing is thrown through a function that Python calls.
#pragma once

#include <new>

#include "interface.h"

// A number that is none of an enumeration's: a name that this library was not built with.
struct UnknownName {};

// What `call()` comes to.
template <class F> Status status_of(F call) noexcept {
    try {
        call();
        return Status::ok;
    } catch (const std::bad_alloc &) {
        return Status::no_memory;
    } catch (const UnknownName &) {
        return Status::unknown_name;
    } catch (...) {
        return Status::failed;
    }
}
