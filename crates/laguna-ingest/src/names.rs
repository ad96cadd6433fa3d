//! Which column of the table a column of a file is: names as found against names as kept.

use std::collections::{HashMap, HashSet};

use arrow::datatypes::{DataType, Field, Schema};
use laguna_base::name::column_names;

/// Key of a field's metadata under which the name as the source wrote it is kept, when it had to be changed.
pub const ORIGINAL_NAME: &str = "laguna.original_name";

/// A nullable field that remembers the source's name when it differs.
pub fn named_field(clean: &str, original: &str, data_type: DataType) -> Field {
    let field = Field::new(clean, data_type, true);
    if clean == original {
        return field;
    }
    field.with_metadata(HashMap::from([(ORIGINAL_NAME.to_string(), original.to_string())]))
}

/// The name as the source wrote it.
pub fn original(field: &Field) -> &str {
    field.metadata().get(ORIGINAL_NAME).map_or(field.name(), String::as_str)
}

/// Columns by their kept names, and the source's names that lead to them.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Kept name of each column.
    pub clean: Vec<String>,
    /// The source's name of each column.
    pub original: Vec<String>,
    by_original: HashMap<String, usize>,
    by_clean: HashMap<String, usize>,
}

impl Names {
    /// The names of a table so far.
    pub fn of(schema: &Schema) -> Self {
        let mut names = Names::default();
        for field in schema.fields() {
            names.push(field.name().clone(), original(field).to_string());
        }
        names
    }

    /// Enrols the columns of one file. The same name is the same column; so is one that becomes the same kept name
    /// (case aside), unless the file has both.
    pub fn enrol(&mut self, file: &[String]) {
        let mut taken: HashSet<usize> = file.iter().filter_map(|name| self.find(name)).collect();
        for name in file {
            if self.find(name).is_some() {
                continue;
            }
            let alone = column_names(std::slice::from_ref(name)).remove(0).to_lowercase();
            match self.by_clean.get(&alone) {
                Some(at) if !name.is_empty() && taken.insert(*at) => {
                    self.by_original.insert(name.clone(), *at);
                }
                _ => {
                    let mut all = self.clean.clone();
                    all.push(name.clone());
                    // Kept names may carry a reserved name's suffix already: only the last is of interest.
                    let mut clean = column_names(&all).pop().unwrap_or_default();
                    let mut suffix = 2;
                    while self.by_clean.contains_key(&clean.to_lowercase()) {
                        clean = format!("{alone}_{suffix}");
                        suffix += 1;
                    }
                    self.push(clean, name.clone());
                    taken.insert(self.clean.len() - 1);
                }
            }
        }
    }

    /// The column that a source's name leads to.
    pub fn find(&self, original: &str) -> Option<usize> {
        self.by_original.get(original).copied()
    }

    fn push(&mut self, clean: String, original: String) {
        let at = self.clean.len();
        self.by_clean.entry(clean.to_lowercase()).or_insert(at);
        self.by_original.entry(original.clone()).or_insert(at);
        self.clean.push(clean);
        self.original.push(original);
    }
}

/// The names of one file, each once: a repeated one gets the suffix that its kept name gets.
pub fn distinct(header: Vec<String>) -> Vec<String> {
    let clean = column_names(&header);
    let mut seen = HashSet::new();
    let mut names = Vec::with_capacity(header.len());
    for (name, clean) in header.into_iter().zip(clean) {
        let name = name.trim().to_string();
        let mut name = if name.is_empty() { clean.clone() } else { name };
        if !seen.insert(name.clone()) {
            name = clean;
            let mut suffix = 2;
            while !seen.insert(name.clone()) {
                name = format!("{name}_{suffix}");
                suffix += 1;
            }
        }
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enrolled(files: &[&[&str]]) -> Names {
        let mut names = Names::default();
        for file in files {
            names.enrol(&file.iter().map(|n| n.to_string()).collect::<Vec<_>>());
        }
        names
    }

    #[test]
    fn the_same_column_is_found_under_its_spellings() {
        let names = enrolled(&[&["Order Id", "b"], &["B", "order_id", "c"]]);
        assert_eq!(names.clean, ["Order_Id", "b", "c"]);
        assert_eq!(names.find("order_id"), Some(0));
        assert_eq!(names.find("B"), Some(1));
        let names = enrolled(&[&["a b", "a_b", "A B"], &["_batch"]]);
        assert_eq!(names.clean, ["a_b", "a_b_2", "A_B_3", "_batch_2"]);
    }

    #[test]
    fn repeated_headers_are_told_apart() {
        let header = ["x", "x", "", "x_2"].map(String::from).to_vec();
        assert_eq!(distinct(header), ["x", "x_2", "column_3", "x_2_2"]);
    }
}
