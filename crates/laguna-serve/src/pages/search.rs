//! Search: tables by their names, descriptions, columns, tags and owners, the best first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use askama::Template;
use askama::filters::HtmlSafe;
use axum::extract::Query;
use axum::response::Response;
use laguna_base::{Result, TableName, Tier, suggest};
use laguna_store::Release;
use serde::Deserialize;

use super::page::{Broken, Frame, Reader, html};
use super::sight::Sight;
use super::text::escape;

/// Results that are shown.
const MOST: usize = 50;

/// Columns that are shown of one result.
const COLUMNS: usize = 8;

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    q: String,
}

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    frame: Frame,
    asked: String,
    hits: Vec<Hit>,
    more: usize,
    nearest: Option<String>,
}

/// One table that was found.
struct Hit {
    name: TableName,
    shown: Marked,
    description: Option<Marked>,
    columns: Vec<Marked>,
    tags: Vec<Marked>,
    owner: Option<Marked>,
    score: u32,
}

/// Text with the words that were looked for marked.
struct Marked(String);

impl HtmlSafe for Marked {}

impl fmt::Display for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Every table that exists for the reader, most refined first, and whether it is built: what only stands in the project is
/// not yet.
pub(super) async fn tables(sight: &Sight, release: Option<&Release>) -> Result<Vec<(TableName, bool)>> {
    let rows = sight.own("SELECT table_schema, table_name FROM information_schema.tables").await?;
    let names = rows.texts("table_schema").into_iter().zip(rows.texts("table_name"));
    let mut all: BTreeMap<TableName, bool> = BTreeMap::new();
    for (tier, table) in names {
        if let Some(Ok(tier)) = tier.as_deref().map(str::parse::<Tier>)
            && let Some(Ok(name)) = table.map(|table| TableName::new(tier, table))
        {
            all.insert(name, true);
        }
    }
    for name in
        sight.project.models.keys().chain(sight.project.datasets.keys()).filter(|name| sight.may_read(name))
    {
        all.entry(name.clone()).or_insert(false);
    }
    for name in release.iter().flat_map(|release| release.tables.keys()).filter(|name| sight.may_read(name)) {
        all.entry(name.clone()).or_insert(true);
    }
    Ok(all.into_iter().collect())
}

/// Columns of every table of the reader.
pub(super) async fn columns(sight: &Sight) -> Result<BTreeMap<String, Vec<String>>> {
    let rows =
        sight.own("SELECT table_schema, table_name, column_name FROM information_schema.columns").await?;
    let names =
        rows.texts("table_schema").into_iter().zip(rows.texts("table_name")).zip(rows.texts("column_name"));
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for ((tier, table), column) in names {
        if let (Some(tier), Some(table), Some(column)) = (tier, table, column) {
            all.entry(format!("{tier}.{table}")).or_default().push(column);
        }
    }
    Ok(all)
}

/// Answers `/search`.
pub(super) async fn page(Reader(sight): Reader, Query(asked): Query<Asked>) -> Result<Response, Broken> {
    let release = sight.release().await?;
    let asked = asked.q.trim().to_string();
    let words = words(&asked);
    let known = tables(&sight, release.as_ref()).await?;
    let mut hits = Vec::new();
    if !words.is_empty() {
        let columns = columns(&sight).await?;
        for (name, _) in &known {
            hits.extend(hit(&sight, name, columns.get(&name.to_string()).map_or(&[], Vec::as_slice), &words));
        }
        // Names of the same rank stay in the order of tiers.
        hits.sort_by_key(|hit| std::cmp::Reverse(hit.score));
    }
    let names: Vec<String> = known.iter().map(|(name, _)| name.table.clone()).collect();
    let nearest = match hits.is_empty() && !asked.is_empty() {
        true => suggest::nearest(&asked.to_lowercase(), &names).map(str::to_string),
        false => None,
    };
    let more = hits.len().saturating_sub(MOST);
    hits.truncate(MOST);
    let mut frame = Frame::new(&sight, "Search", "", release.as_ref());
    frame.search = asked.clone();
    html(&SearchPage { frame, asked, hits, more, nearest })
}

/// The words of a question, in lower case, each once.
fn words(asked: &str) -> Vec<String> {
    let separate = |character: char| {
        !character.is_alphanumeric() && character != '_' && character != ':' && character != '-'
    };
    let words: BTreeSet<String> =
        asked.to_lowercase().split(separate).filter(|word| !word.is_empty()).map(str::to_string).collect();
    words.into_iter().take(12).collect()
}

/// A table in which every word stands somewhere; the more telling the places, the better.
fn hit(sight: &Sight, name: &TableName, columns: &[String], words: &[String]) -> Option<Hit> {
    let about = sight.about(name);
    let described = |column: &String| sight.about_column(name, column).0.unwrap_or_default();
    let descriptions: Vec<String> = columns.iter().map(described).collect();
    let mut score = 0;
    for word in words {
        let places = [
            rank(&name.table, word, 100, 60, 40),
            rank(name.tier.as_str(), word, 20, 0, 0),
            about.tags.iter().map(|tag| rank(tag, word, 45, 35, 25)).max().unwrap_or(0),
            columns.iter().map(|column| rank(column, word, 40, 30, 15)).max().unwrap_or(0),
            about.owner.as_deref().map_or(0, |owner| rank(owner, word, 20, 12, 8)),
            about.description.as_deref().map_or(0, |text| rank(text, word, 20, 14, 8)),
            descriptions.iter().map(|text| rank(text, word, 10, 8, 5)).max().unwrap_or(0),
        ];
        score += Some(places.into_iter().max().unwrap_or(0)).filter(|best| *best > 0)?;
    }
    score += match name.tier {
        Tier::Enhanced => 5,
        Tier::Sanitized => 4,
        Tier::Latest => 2,
        Tier::Raw => 1,
        Tier::Quarantine | Tier::System => 0,
    };
    let holds = |text: &str| words.iter().any(|word| text.to_lowercase().contains(word.as_str()));
    let found = columns.iter().zip(&descriptions).filter(|(column, text)| holds(column) || holds(text));
    Some(Hit {
        shown: marked(&name.table, words),
        description: about.description.as_deref().map(|text| marked(text, words)),
        columns: found.take(COLUMNS).map(|(column, _)| marked(column, words)).collect(),
        tags: about.tags.iter().map(|tag| marked(tag, words)).collect(),
        owner: about.owner.as_deref().map(|owner| marked(owner, words)),
        name: name.clone(),
        score,
    })
}

/// How telling it is that `word` stands in `text`: as the whole, as a word of it, or somewhere.
fn rank(text: &str, word: &str, whole: u32, part: u32, somewhere: u32) -> u32 {
    let text = text.to_lowercase();
    if text == word {
        return whole;
    }
    let mut parts = text.split(|character: char| !character.is_alphanumeric());
    if parts.any(|part| part == word) {
        return part;
    }
    // The start of a word says more than its middle.
    match text.find(word) {
        Some(at) if !text[..at].ends_with(char::is_alphanumeric) => somewhere + (part - somewhere) / 2,
        Some(_) => somewhere,
        None => 0,
    }
}

fn marked(text: &str, words: &[String]) -> Marked {
    let lower = text.to_lowercase();
    // Where lower case has another length, places cannot be told.
    if lower.len() != text.len() {
        return Marked(escape(text));
    }
    let mut marks = vec![false; text.len()];
    for word in words {
        for (at, found) in lower.match_indices(word.as_str()) {
            marks[at..at + found.len()].fill(true);
        }
    }
    let mut html = String::new();
    let mut inside = false;
    for (at, character) in text.char_indices() {
        if marks[at] != inside {
            html.push_str(if inside { "</mark>" } else { "<mark>" });
            inside = !inside;
        }
        html.push_str(&escape(character.encode_utf8(&mut [0; 4])));
    }
    if inside {
        html.push_str("</mark>");
    }
    Marked(html)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_name_ranks_above_a_part_of_it() {
        let ranks: Vec<u32> = ["flights", "daily_flights", "flights_daily", "inflights", "airlines"]
            .iter()
            .map(|name| rank(name, "flights", 100, 60, 40))
            .collect();
        assert_eq!(ranks, [100, 60, 60, 40, 0]);
        assert_eq!(rank("flightsim", "flights", 100, 60, 40), 50);
    }

    #[test]
    fn words_are_marked_and_markup_is_not_believed() {
        let words = words("Delay <b>");
        assert_eq!(words, ["b", "delay"]);
        assert_eq!(marked("Mean DELAY <b>", &words).0, "Mean <mark>DELAY</mark> &lt;<mark>b</mark>&gt;");
        assert_eq!(marked("İstanbul delay", &words).0, "İstanbul delay");
    }
}
