//! Small drawings as SVG: histograms, strips of verdicts, lines of numbers, bars of time, and graphs of tables.
//!
//! Colours come from the style sheet by class, so that drawings follow light and dark. Texts are escaped here.

use std::fmt::{self, Write};

use askama::filters::HtmlSafe;

use super::layout::{BOX_WIDTH, HEAD_HEIGHT, Placed, ROW_HEIGHT};
use super::text::{cut, escape, short};

/// A drawing; its texts are escaped.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Svg(String);

impl HtmlSafe for Svg {}

impl fmt::Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Svg {
    /// Adds to the drawing; writing to memory cannot fail.
    fn add(&mut self, piece: fmt::Arguments<'_>) {
        let _ = self.0.write_fmt(piece);
    }
}

/// A bar of a histogram: how many rows, and what they have in common.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bar {
    pub(super) rows: u64,
    pub(super) label: String,
}

/// A histogram. Each bar tells its rows on hover, and the whole is one sentence for who cannot see it.
pub(super) fn histogram(bars: &[Bar], label: &str) -> Svg {
    let most = bars.iter().map(|bar| bar.rows).max().unwrap_or(0).max(1);
    let width = 120.0 / bars.len().max(1) as f64;
    let mut svg = Svg::default();
    svg.add(format_args!(
        r#"<svg class="hist" viewBox="0 0 120 28" width="120" height="28" role="img" aria-label="{}">"#,
        escape(label)
    ));
    for (index, bar) in bars.iter().enumerate() {
        // A bar that stands for rows can be seen, however few they are.
        let height = if bar.rows == 0 { 0.0 } else { (bar.rows as f64 / most as f64 * 26.0).max(1.0) };
        svg.add(format_args!(
            r#"<g><title>{}: {}</title><rect class="hit" x="{x:.1}" y="0" width="{width:.1}" height="28"/><rect class="bar" x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{height:.1}"/></g>"#,
            escape(&bar.label),
            laguna_base::human::count(bar.rows, "row"),
            x = index as f64 * width,
            y = 27.0 - height,
            w = (width - 1.0).max(0.5),
        ));
    }
    svg.add(format_args!("</svg>"));
    svg
}

/// One verdict of a strip.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    /// `ok`, `warn`, `bad`.
    pub(super) class: &'static str,
    pub(super) title: String,
    pub(super) href: String,
}

/// Verdicts over time, oldest first, each a link to its run.
pub(super) fn strip(marks: &[Mark]) -> Svg {
    let width = marks.len() * 9;
    let mut svg = Svg::default();
    svg.add(format_args!(
        r#"<svg class="strip" viewBox="0 0 {width} 18" width="{width}" height="18" role="group" aria-label="{} verdicts, oldest first">"#,
        marks.len()
    ));
    for (index, mark) in marks.iter().enumerate() {
        // What failed is lower and what passed is higher: colour is not all that tells them apart.
        let (y, height) = if mark.class == "ok" { (4, 10) } else { (1, 16) };
        svg.add(format_args!(
            r#"<a href="{}"><title>{}</title><rect class="mark {}" x="{}" y="{y}" width="7" height="{height}" rx="1.5"/></a>"#,
            escape(&mark.href),
            escape(&mark.title),
            mark.class,
            index * 9 + 1
        ));
    }
    svg.add(format_args!("</svg>"));
    svg
}

/// Numbers over time as a small line; the newest is marked.
pub(super) fn spark(values: &[f64], label: &str) -> Svg {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let range = if high > low { high - low } else { 1.0 };
    let place = |index: usize, value: f64| {
        let x = if values.len() < 2 { 60.0 } else { 3.0 + index as f64 / (values.len() - 1) as f64 * 114.0 };
        (x, 25.0 - (value - low) / range * 22.0)
    };
    let points: Vec<(f64, f64)> = values
        .iter()
        .enumerate()
        .filter(|(_, value)| value.is_finite())
        .map(|(index, value)| place(index, *value))
        .collect();
    let mut svg = Svg::default();
    svg.add(format_args!(
        r#"<svg class="spark" viewBox="0 0 120 28" width="120" height="28" role="img" aria-label="{}: from {} to {}"><polyline points=""#,
        escape(label),
        short(low),
        short(high)
    ));
    for (x, y) in &points {
        svg.add(format_args!("{x:.1},{y:.1} "));
    }
    svg.add(format_args!(r#""/>"#));
    if let Some((x, y)) = points.last() {
        svg.add(format_args!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="2.5"/>"#));
    }
    svg.add(format_args!("</svg>"));
    svg
}

/// A span of a run's time, as shares of the whole between 0 and 1.
pub(super) fn span(class: &str, start: f64, length: f64, label: &str) -> Svg {
    let start = start.clamp(0.0, 0.995);
    let length = length.clamp(0.005, 1.0 - start);
    let mut svg = Svg::default();
    svg.add(format_args!(
        r#"<svg class="span" viewBox="0 0 1000 14" preserveAspectRatio="none" role="img" aria-label="{label}"><title>{label}</title><rect class="rail" x="0" y="6" width="1000" height="2"/><rect class="mark {class}" x="{:.0}" y="1" width="{:.0}" height="12"/></svg>"#,
        start * 1000.0,
        length * 1000.0,
        label = escape(label),
    ));
    svg
}

/// A graph of tables. Columns are the rows of a box; what flows between them is marked for the script that follows it.
pub(super) fn graph(placed: &Placed, label: &str) -> Svg {
    let mut svg = Svg::default();
    svg.add(format_args!(
        r#"<svg class="graph" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="group" aria-label="{}">"#,
        escape(label),
        w = placed.width,
        h = placed.height
    ));
    let curve = |(x1, y1): (f64, f64), (x2, y2): (f64, f64)| {
        let bend = ((x2 - x1) / 2.0).max(20.0);
        format!("M{x1:.0},{y1:.1} C{:.0},{y1:.1} {:.0},{y2:.1} {x2:.0},{y2:.1}", x1 + bend, x2 - bend)
    };
    for (from, to) in &placed.edges {
        svg.add(format_args!(r#"<path class="edge" d="{}"/>"#, curve(*from, *to)));
    }
    for flow in &placed.flows {
        svg.add(format_args!(
            r#"<path class="flow" data-from="{}" data-to="{}" d="{}"/>"#,
            flow.from,
            flow.to,
            curve(flow.start, flow.end)
        ));
    }
    for (at, node) in &placed.boxes {
        let (x, y) = *at;
        svg.add(format_args!(r#"<g class="node {}">"#, node.class));
        svg.add(format_args!(
            r#"<rect class="box" x="{x:.0}" y="{y:.1}" width="{BOX_WIDTH:.0}" height="{:.0}" rx="6"/>"#,
            node.height()
        ));
        svg.add(format_args!(r#"<a href="{}"><title>{}</title>"#, escape(&node.href), escape(&node.title)));
        svg.add(format_args!(
            r#"<text class="tier" x="{:.0}" y="{:.1}">{}</text><text class="name" x="{:.0}" y="{:.1}">{}</text></a>"#,
            x + 10.0,
            y + 15.0,
            escape(&node.tier),
            x + 10.0,
            y + 31.0,
            escape(&cut(&node.name, 26))
        ));
        for (index, row) in node.rows.iter().enumerate() {
            let top = y + HEAD_HEIGHT + index as f64 * ROW_HEIGHT;
            let followed = match row.id {
                Some(id) => format!(r#" class="col" data-col="{id}" tabindex="0""#),
                None => r#" class="more""#.to_string(),
            };
            svg.add(format_args!(
                r#"<g{followed}><title>{}</title><rect x="{:.0}" y="{top:.1}" width="{:.0}" height="{ROW_HEIGHT:.0}" rx="3"/><text x="{:.0}" y="{:.1}">{}</text></g>"#,
                escape(&row.label),
                x + 4.0,
                BOX_WIDTH - 8.0,
                x + 10.0,
                top + 12.5,
                escape(&cut(&row.label, 29))
            ));
        }
        svg.add(format_args!("</g>"));
    }
    svg.add(format_args!("</svg>"));
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_markup_stay_text() {
        let wild = "<script>alert(1)</script>\" onload=\"x";
        let bar = Bar { rows: 1, label: wild.to_string() };
        let mark = Mark { class: "bad", title: wild.to_string(), href: wild.to_string() };
        for svg in [
            histogram(&[bar], wild),
            strip(&[mark]),
            spark(&[1.0, f64::NAN, 2.0], wild),
            span("ok", 0.2, 5.0, wild),
        ] {
            assert!(!svg.0.contains("<script") && !svg.0.contains("\" onload"), "{svg}");
        }
    }

    #[test]
    fn a_single_row_can_be_seen_beside_many() {
        let bar = |rows| Bar { rows, label: "x".to_string() };
        let svg = histogram(&[bar(1_000_000), bar(1), bar(0)], "h").0;
        assert_eq!(svg.matches("height=\"1.0\"").count(), 1);
        assert!(svg.contains("height=\"0.0\""));
    }
}
