//! What can be said of a source's settings without looking at a file.

use std::path::PathBuf;

use chrono_tz::Tz;
use laguna_base::Result;
use laguna_base::settings::dataset::{Format, SourceSettings};

use crate::discover::InputFile;
use crate::formats;
use crate::scalar::Zone;

/// Whether the settings under `csv` fit together and name an encoding that is known.
pub fn check_csv(source: &SourceSettings) -> Result<()> {
    let nothing = InputFile { path: "any.csv".into(), absolute: PathBuf::new(), size: 0, modified: None };
    let source = SourceSettings { format: Some(Format::Csv), ..source.clone() };
    formats::open(&nothing, &source, Zone::new(Tz::UTC)).map(drop)
}
