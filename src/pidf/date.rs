//! The value of `date`: RFC 822's, with a year of four digits and a zone of digits (PIDF-5.2-1).

use crate::clock::Date;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Reads a date; none if there is no such day or time, or the form is another one. A weekday need not be
/// the right one.
pub fn parse(text: &str) -> Option<Date> {
    let blank = |c| c == ' ' || c == '\t';
    let rest = match text.split_once(',') {
        Some((day, rest)) => {
            let day = day.trim_end_matches(blank);
            DAYS.iter()
                .any(|known| known.eq_ignore_ascii_case(day))
                .then_some(rest.trim_start_matches(blank))?
        }
        None => text,
    };
    let mut words = rest.split(blank);
    // Blanks come in runs between two words, and nowhere else.
    let mut word = |first: bool| match first {
        true => words.next().filter(|word| !word.is_empty()),
        false => words.by_ref().find(|word| !word.is_empty()),
    };
    let (day, month, year) = (word(true)?, word(false)?, word(false)?);
    let (clock, zone) = (word(false)?, word(false)?);
    if words.next().is_some() {
        return None;
    }
    let day = number(day, 1..=2)?;
    let month = MONTHS.iter().position(|known| known.eq_ignore_ascii_case(month))?;
    let month = time::Month::try_from(month as u8 + 1).ok()?;
    let year = number(year, 4..=4)?;
    let date = time::Date::from_calendar_date(year as i32, month, day as u8).ok()?;
    let days =
        i64::from(date.to_julian_day()) - i64::from(time::UtcDateTime::UNIX_EPOCH.date().to_julian_day());
    let seconds = days * 86_400 + seconds_of(clock)? - offset_of(zone)?;
    Some(Date(seconds * 1000))
}

/// `HH:MM` or `HH:MM:SS`; a leap second is the one after it.
fn seconds_of(clock: &str) -> Option<i64> {
    let mut parts = clock.split(':');
    let (hour, minute) = (number(parts.next()?, 2..=2)?, number(parts.next()?, 2..=2)?);
    let second = parts.next().map_or(Some(0), |second| number(second, 2..=2))?;
    let legal = hour < 24 && minute < 60 && second <= 60 && parts.next().is_none();
    legal.then_some(hour * 3600 + minute * 60 + second)
}

/// `+HHMM` or `-HHMM`: how much earlier it is at the prime meridian (PIDF-5.2-2).
fn offset_of(zone: &str) -> Option<i64> {
    let sign = match zone.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = number(zone.get(1..)?, 4..=4)?;
    let (hours, minutes) = (digits / 100, digits % 100);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// A number of so many digits.
fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let legal = digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    legal.then(|| text.parse().ok()).flatten()
}
