//! JSON: one object a line, one array of objects, or objects one after another however they are laid out.
//!
//! In files of lines every line takes a row number, blank ones too; else every value does. What is no object, or no
//! valid JSON, is set aside. An array that does not end is a file that is not all there: the batch fails.

mod columns;
mod split;
mod value;

use std::ops::Range;
use std::sync::Arc;

use encoding_rs::Encoding;
use laguna_base::settings::dataset::SourceSettings;
use laguna_base::{Error, Result};

use self::split::{Layout, Scanner};
use self::value::Value;
use super::{BLOCK, BadRow, Block, Format, LONG, LongRow, MAX_ROW, Parsed, Parsing, SendBlock, Stop};
use crate::InputFile;
use crate::evidence::Findings;
use crate::input::{self, Input, Tally};
use crate::scalar::Zone;
use crate::target::{MAX_RAW, Target, raw_text, row_numbers};

struct Json {
    encoding: &'static Encoding,
    zone: Zone,
}

pub fn open(_: &InputFile, source: &SourceSettings, zone: Zone) -> Result<Arc<dyn Format>> {
    Ok(Arc::new(Json { encoding: input::encoding(source.csv.encoding.as_deref())?, zone }))
}

impl Json {
    fn start(&self, file: &InputFile, length: usize, tally: Tally) -> Result<Started> {
        let mut input = Input::open(file, self.encoding, tally)?;
        let mut buffer = Vec::new();
        loop {
            let wanted = length.max(buffer.len());
            let ended = input.fill(&mut buffer, wanted)? < wanted;
            if let Some(layout) = split::layout(&buffer, ended || buffer.len() > MAX_ROW) {
                return Ok(Started { input, buffer, ended, layout });
            }
        }
    }

    fn lines(&self, started: Started, send: &mut SendBlock) -> Result<Option<String>> {
        let Started { mut input, mut buffer, mut ended, .. } = started;
        let mut row = 1;
        loop {
            if ended && buffer.last().is_some_and(|last| *last != b'\n') {
                buffer.push(b'\n');
            }
            if let Some(end) = memchr::memrchr(b'\n', &buffer).map(|at| at + 1) {
                let mut rest = Vec::with_capacity(BLOCK + buffer.len() - end + 1);
                rest.extend_from_slice(&buffer[end..]);
                buffer.truncate(end);
                let rows = row..row + memchr::memchr_iter(b'\n', &buffer).count() as u64;
                row = rows.end;
                let memory = buffer.capacity();
                let bytes = std::mem::replace(&mut buffer, rest);
                if !send(Box::new(Objects { bytes, spans: None, rows, zone: self.zone }), memory) {
                    break;
                }
            } else if buffer.len() > MAX_ROW {
                let start = buffer[..MAX_RAW].to_vec();
                while !buffer.is_empty() && memchr::memchr(b'\n', &buffer).is_none() {
                    buffer.clear();
                    ended = input.fill(&mut buffer, BLOCK)? < BLOCK;
                }
                buffer.drain(..memchr::memchr(b'\n', &buffer).map_or(0, |at| at + 1));
                if !send(Box::new(LongRow { start, row }), MAX_RAW) {
                    break;
                }
                row += 1;
                continue;
            }
            if ended {
                break;
            }
            ended = input.fill(&mut buffer, BLOCK)? < BLOCK;
        }
        input.hash()
    }

    fn values(&self, file: &InputFile, started: Started, send: &mut SendBlock) -> Result<Option<String>> {
        let Started { mut input, mut buffer, mut ended, layout } = started;
        let mut scanner = Scanner::new(layout == Layout::Array);
        let mut row = 1;
        loop {
            let mut spans = scanner.scan(&buffer);
            if ended {
                spans.extend(scanner.finish(&buffer).map_err(|what| {
                    Error::failed(format!("the file `{}` is incomplete: {what}", file.path))
                        .hint("fetch the file again; nothing of this batch has landed")
                })?);
            }
            let keep_from = scanner.keep_from();
            let mut rest = Vec::with_capacity(BLOCK + buffer.len() - keep_from);
            rest.extend_from_slice(&buffer[keep_from..]);
            scanner.forget(keep_from);
            let memory = buffer.capacity();
            let bytes = std::mem::replace(&mut buffer, rest);
            let rows = row..row + spans.len() as u64;
            row = rows.end;
            let block = Objects { bytes, spans: Some(spans), rows, zone: self.zone };
            if !block.rows.is_empty() && !send(Box::new(block), memory) {
                break;
            }
            if buffer.len() > MAX_ROW {
                let start = buffer[..MAX_RAW].to_vec();
                // The rest of the value is followed without keeping it.
                while scanner.is_inside() && !ended {
                    buffer.clear();
                    scanner.skip();
                    ended = input.fill(&mut buffer, BLOCK)? < BLOCK;
                    scanner.scan_to_end(&buffer);
                }
                if !send(Box::new(LongRow { start, row }), MAX_RAW) {
                    break;
                }
                row += 1;
                continue;
            }
            if ended {
                break;
            }
            ended = input.fill(&mut buffer, BLOCK)? < BLOCK;
        }
        input.hash()
    }
}

struct Started {
    input: Input,
    buffer: Vec<u8>,
    ended: bool,
    layout: Layout,
}

impl Format for Json {
    fn sample(&self, file: &InputFile, length: usize) -> Result<Findings> {
        let Started { mut buffer, ended, layout, .. } = self.start(file, length, Tally::default())?;
        let spans = match layout {
            Layout::Lines => {
                if !ended {
                    buffer.truncate(memchr::memrchr(b'\n', &buffer).map_or(0, |at| at + 1));
                }
                None
            }
            _ => Some(Scanner::new(layout == Layout::Array).scan(&buffer)),
        };
        let mut findings = Findings::default();
        Box::new(Objects { bytes: buffer, spans, rows: 1..1, zone: self.zone }).infer(&mut findings)?;
        Ok(findings)
    }

    fn produce(&self, file: &InputFile, tally: Tally, send: &mut SendBlock) -> Result<Option<String>> {
        let started = self.start(file, BLOCK, tally)?;
        match started.layout {
            Layout::Lines => self.lines(started, send),
            _ => self.values(file, started, send),
        }
    }
}

/// Values one after another, by lines or by spans.
struct Objects {
    bytes: Vec<u8>,
    spans: Option<Vec<(usize, usize)>>,
    rows: Range<u64>,
    zone: Zone,
}

impl Objects {
    /// Text and number of each value.
    fn each(&self) -> Vec<(u64, &[u8])> {
        match &self.spans {
            Some(spans) => spans
                .iter()
                .enumerate()
                .map(|(at, (start, end))| (self.rows.start + at as u64, &self.bytes[*start..*end]))
                .collect(),
            None => self
                .bytes
                .split(|byte| *byte == b'\n')
                .enumerate()
                .map(|(at, line)| (self.rows.start + at as u64, line.trim_ascii()))
                .filter(|(_, line)| !line.is_empty())
                .collect(),
        }
    }

    fn columns(&self, target: &Target) -> Result<Parsed, Stop> {
        let mut nodes = Vec::new();
        let mut bad = Vec::new();
        for (row, text) in self.each() {
            match object(text) {
                Ok(node) => nodes.push((row, node, text)),
                Err(reason) => bad.push(BadRow { row, raw: raw_text(text), json: None, reason }),
            }
        }
        let fields: Vec<_> = nodes.iter().map(|(_, fields, _)| fields.as_slice()).collect();
        let (columns, faults) = columns::build(&fields, target, target.on_new)?;
        let mut keep = vec![true; nodes.len()];
        for (at, reason) in faults {
            keep[at] = false;
            let (row, _, text) = &nodes[at];
            let raw = raw_text(text);
            let json = (text.len() <= MAX_RAW).then(|| raw.clone());
            bad.push(BadRow { row: *row, raw, json, reason });
        }
        bad.sort_by_key(|row| row.row);
        let numbers =
            nodes.iter().zip(&keep).filter(|(_, keep)| **keep).map(|((row, ..), _)| *row as i64).collect();
        let mask = keep.contains(&false).then(|| keep.clone().into());
        let batch = target.batch(columns, nodes.len(), mask.as_ref())?;
        Ok(Parsed { batch, rows: row_numbers(numbers), bad })
    }
}

type Fields<'a> = Vec<(std::borrow::Cow<'a, str>, value::Node<'a>)>;

fn object(text: &[u8]) -> Result<Fields<'_>, String> {
    if text.len() > MAX_ROW {
        return Err(LONG.into());
    }
    let text = std::str::from_utf8(text).map_err(|_| "the row is not valid UTF-8".to_string())?;
    match value::parse(text)?.value {
        Value::Object(fields) => Ok(fields),
        _ => Err("the row is no JSON object".into()),
    }
}

impl Block for Objects {
    fn rows(&self) -> Range<u64> {
        self.rows.clone()
    }

    fn parse(self: Box<Self>, target: Arc<Target>) -> Parsing {
        let parsed = self.columns(&target);
        Box::new(std::iter::once(parsed))
    }

    fn infer(self: Box<Self>, findings: &mut Findings) -> Result<()> {
        for (_, text) in self.each() {
            if let Ok(fields) = object(text) {
                columns::infer_object(&fields, self.zone, findings);
            }
        }
        Ok(())
    }
}
