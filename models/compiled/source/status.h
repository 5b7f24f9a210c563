// The status of a call: functions that Python calls do not throw.
#pragma once

#include <new>

#include "interface.h"

// Thrown for a number that is not in an enumeration, so a name that this library was built without.
struct UnknownName {};

// Runs `call()` and turns exceptions into a status.
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
