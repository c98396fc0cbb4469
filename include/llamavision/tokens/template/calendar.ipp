// SPDX-License-Identifier: Apache-2.0
// Dates without the C library's locale.
#pragma once

#include <array>
#include <cstddef>
#include <ctime>
#include <llamavision/tokens/template/calendar.hpp>

namespace llamavision::tokens {

LLAMAVISION_INLINE calendar_time local_time() {
    std::time_t const now = std::time(nullptr);
    std::tm parts{};
    if (!localtime_r(&now, &parts)) return {};
    return {parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec};
}

namespace jinja::detail {

constexpr bool is_leap_year(int year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

// 0 for the first of January.
inline int day_of_year(calendar_time const& t) {
    constexpr std::array<int, 12> before{0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    return before[static_cast<std::size_t>(t.month - 1)] + t.day - 1 + (t.month > 2 && is_leap_year(t.year) ? 1 : 0);
}

// 0 for Sunday. From the number of days since the first of January of year 1, a Monday.
inline int day_of_week(calendar_time const& t) {
    int const years = t.year - 1;
    return (years * 365 + years / 4 - years / 100 + years / 400 + day_of_year(t) + 1) % 7;
}

inline std::string digits(int number, std::size_t width, char fill = '0') {
    auto text = std::to_string(number);
    return text.size() < width ? std::string(width - text.size(), fill) + text : text;
}

} // namespace jinja::detail

LLAMAVISION_INLINE std::optional<calendar_time> day_of(std::string_view text) {
    constexpr std::array<int, 12> lengths{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
    auto const number = [text](std::size_t begin, std::size_t length) {
        int value = 0;
        for (char const c : text.substr(begin, length)) {
            if (c < '0' || c > '9') return 0; // no year, month or day has this number
            value = value * 10 + (c - '0');
        }
        return value;
    };
    calendar_time const t{number(0, 4), number(5, 2), number(8, 2)};
    if (t.year < 1 || t.month < 1 || t.month > 12 || t.day < 1) return std::nullopt;
    int const leap = t.month == 2 && jinja::detail::is_leap_year(t.year) ? 1 : 0;
    if (t.day > lengths[static_cast<std::size_t>(t.month - 1)] + leap) return std::nullopt;
    return t;
}

LLAMAVISION_INLINE std::optional<std::string> strftime(calendar_time const& when, std::string_view format,
                                                       std::string& unknown) {
    using jinja::detail::digits;
    static constexpr std::array<std::string_view, 12> months{"January",   "February", "March",    "April",
                                                             "May",       "June",     "July",     "August",
                                                             "September", "October",  "November", "December"};
    static constexpr std::array<std::string_view, 7> days{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                          "Thursday", "Friday", "Saturday"};
    auto const month = months[static_cast<std::size_t>(when.month - 1)];
    auto const day = days[static_cast<std::size_t>(jinja::detail::day_of_week(when))];
    int const hour12 = when.hour % 12 == 0 ? 12 : when.hour % 12;
    std::string out;
    auto const nested = [&](std::string_view inner) { out += *strftime(when, inner, unknown); };
    for (std::size_t i = 0; i < format.size(); ++i) {
        if (format[i] != '%') {
            out += format[i];
            continue;
        }
        bool const bare = i + 1 < format.size() && format[i + 1] == '-';
        if (bare) ++i;
        char const code = i + 1 < format.size() ? format[++i] : '\0';
        auto const number = [&](int n, std::size_t width, char fill = '0') {
            out += digits(n, bare ? 0 : width, fill);
        };
        switch (code) {
        case 'd': number(when.day, 2); continue;
        case 'e': number(when.day, 2, ' '); continue;
        case 'm': number(when.month, 2); continue;
        case 'y': number(when.year % 100, 2); continue;
        case 'H': number(when.hour, 2); continue;
        case 'I': number(hour12, 2); continue;
        case 'M': number(when.minute, 2); continue;
        case 'S': number(when.second, 2); continue;
        case 'j': number(jinja::detail::day_of_year(when) + 1, 3); continue;
        case 'Y': number(when.year, 0); continue;
        case 'u': number((jinja::detail::day_of_week(when) + 6) % 7 + 1, 0); continue;
        case 'w': number(jinja::detail::day_of_week(when), 0); continue;
        default: break;
        }
        if (!bare) {
            switch (code) {
            case 'a': out += day.substr(0, 3); continue;
            case 'A': out += day; continue;
            case 'b':
            case 'h': out += month.substr(0, 3); continue;
            case 'B': out += month; continue;
            case 'p': out += when.hour < 12 ? "AM" : "PM"; continue;
            case 'f': out += "000000"; continue;
            case 'Z':
            case 'z': continue;
            case 'n': out += '\n'; continue;
            case 't': out += '\t'; continue;
            case '%': out += '%'; continue;
            case 'F': nested("%Y-%m-%d"); continue;
            case 'T':
            case 'X': nested("%H:%M:%S"); continue;
            case 'R': nested("%H:%M"); continue;
            case 'D':
            case 'x': nested("%m/%d/%y"); continue;
            case 'c': nested("%a %b %e %H:%M:%S %Y"); continue;
            default: break;
            }
        }
        unknown = bare ? "%-" : "%";
        if (code != '\0') unknown += code;
        return std::nullopt;
    }
    return out;
}

} // namespace llamavision::tokens
