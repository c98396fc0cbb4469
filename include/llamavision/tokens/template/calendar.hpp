// SPDX-License-Identifier: Apache-2.0
// Dates for strftime_now: from the clock or from the caller, written as Python's strftime does in the C locale.
#pragma once

#include <llamavision/support/separate.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace llamavision::tokens {

/// A local time, by the Gregorian calendar.
struct calendar_time {
    int year = 2024;
    int month = 7; ///< 1 to 12
    int day = 26;
    int hour = 0;
    int minute = 0;
    int second = 0;
};

/// The beginning of a day written as 2024-07-26; nothing if it is written in another way or no such day exists.
[[nodiscard]] std::optional<calendar_time> day_of(std::string_view text);

/// What the clock says, in the machine's time zone.
[[nodiscard]] calendar_time local_time();

/// `when` written by `format`; nothing if a code of the format is none of those that are understood, which is then
/// stored in `unknown`. Understood are %a %A %b %B %c %d %D %e %F %h %H %I %j %m %M %n %p %R %S %t %T %u %w %x %X %y %Y
/// %Z and %z (empty, as for Python's datetime.now()), %f (zeros), %%, and "-" before a number's letter, which takes its
/// leading zeros off.
[[nodiscard]] std::optional<std::string> strftime(calendar_time const& when, std::string_view format,
                                                  std::string& unknown);

} // namespace llamavision::tokens
