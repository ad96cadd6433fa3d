//! Year, month and day of a text, in the order in which they came: which is which.

use chrono::{Datelike, NaiveDate};

use super::{Found, is_digits, whole};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Year,
    Month,
}

/// Year, month and day in the order in which they came.
#[derive(Default)]
pub(super) struct Ymd {
    pub values: Vec<i64>,
    year: Option<usize>,
    month: Option<usize>,
    pub century: bool,
}

impl Ymd {
    pub fn push_text(&mut self, text: &str, part: Option<Part>) -> Found<()> {
        let long = is_digits(text) && text.len() > 2;
        let value = whole(text)?;
        self.add(value, long, part)
    }

    pub fn push(&mut self, value: i64, part: Option<Part>) -> Found<()> {
        self.add(value, value > 100, part)
    }

    pub fn push_number(&mut self, value: f64) -> Found<()> {
        self.add(value as i64, value > 100.0, None)
    }

    fn add(&mut self, value: i64, long: bool, part: Option<Part>) -> Found<()> {
        let part = match long {
            true => {
                self.century = true;
                if part == Some(Part::Month) {
                    return None;
                }
                Some(Part::Year)
            }
            false => part,
        };
        self.values.push(value);
        let place = match part {
            Some(Part::Year) => &mut self.year,
            Some(Part::Month) => &mut self.month,
            None => return Some(()),
        };
        if place.is_some() {
            return None;
        }
        *place = Some(self.values.len() - 1);
        Some(())
    }

    pub fn could_be_day(&self, value: f64) -> Found<bool> {
        let Some(month) = self.month else { return Some((1.0..=31.0).contains(&value)) };
        let year = self.year.map_or(2000, |at| self.values[at]);
        let first =
            NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, u32::try_from(self.values[month]).ok()?, 1)?;
        Some(value >= 1.0 && first.with_day(value as u32).is_some())
    }

    /// Year, month and day.
    pub fn resolve(&self) -> Found<[Option<i64>; 3]> {
        let v = &self.values;
        let known = usize::from(self.year.is_some()) + usize::from(self.month.is_some());
        let at = |place: Option<usize>| place.map(|place| v[place]);
        if v.len() == known && known > 0 {
            return Some([at(self.year), at(self.month), None]);
        }
        if v.len() == 3 && known == 2 {
            let day = (0..3).find(|place| Some(*place) != self.year && Some(*place) != self.month);
            return Some([at(self.year), at(self.month), at(day)]);
        }
        match (v.len(), self.month) {
            (0, _) => Some([None; 3]),
            (1, None) => Some(if v[0] > 31 { [Some(v[0]), None, None] } else { [None, None, Some(v[0])] }),
            (1, Some(month)) => Some([None, Some(v[month]), None]),
            (2, Some(month)) => {
                let other = v[1 - month];
                let month = Some(v[month]);
                Some(if other > 31 { [Some(other), month, None] } else { [None, month, Some(other)] })
            }
            (2, None) if v[0] > 31 => Some([Some(v[0]), Some(v[1]), None]),
            (2, None) if v[1] > 31 => Some([Some(v[1]), Some(v[0]), None]),
            (2, None) => Some([None, Some(v[0]), Some(v[1])]),
            (3, Some(0)) if v[1] > 31 => Some([Some(v[1]), Some(v[0]), Some(v[2])]),
            (3, Some(0)) => Some([Some(v[2]), Some(v[0]), Some(v[1])]),
            (3, Some(1)) if v[0] > 31 => Some([Some(v[0]), Some(v[1]), Some(v[2])]),
            (3, Some(1)) => Some([Some(v[2]), Some(v[1]), Some(v[0])]),
            (3, Some(_)) if v[1] > 31 => Some([Some(v[1]), Some(v[2]), Some(v[0])]),
            (3, Some(_)) => Some([Some(v[0]), Some(v[2]), Some(v[1])]),
            (3, None) if v[0] > 31 || self.year == Some(0) => Some([Some(v[0]), Some(v[1]), Some(v[2])]),
            (3, None) if v[0] > 12 => Some([Some(v[2]), Some(v[1]), Some(v[0])]),
            (3, None) => Some([Some(v[2]), Some(v[0]), Some(v[1])]),
            _ => None,
        }
    }
}
