//! Owns the text of times: RFC 3339, and how long ago. It reads no clock.

/// Returns a time in UTC, such as `2026-11-23T19:41:23Z`.
pub fn rfc3339(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // from days to a date, after Howard Hinnant's civil_from_days: years begin in March, eras have 400 years
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// Returns how long before `now` a time was, such as `3 h ago`; both in seconds since 1970.
pub fn ago(now: i64, then: i64) -> String {
    match now.saturating_sub(then) {
        ..60 => "just now".to_owned(),
        seconds @ 60..3_600 => format!("{} min ago", seconds / 60),
        seconds @ 3_600..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::{ago, rfc3339};

    #[test]
    fn a_time_is_told_in_its_largest_unit() {
        for (seconds, text) in [
            (-5, "just now"),
            (59, "just now"),
            (60, "1 min ago"),
            (3 * 3_600, "3 h ago"),
            (47 * 3_600, "47 h ago"),
            (72 * 3_600, "3 d ago"),
        ] {
            assert_eq!(ago(1_700_000_000, 1_700_000_000 - seconds), text);
        }
    }

    #[test]
    fn seconds_become_dates() {
        for (seconds, text) in [
            (-62_135_596_800, "0001-01-01T00:00:00Z"),
            (-2_172_355_200, "1901-03-01T00:00:00Z"),
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696, "2000-02-29T12:34:56Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
