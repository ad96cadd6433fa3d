//! The project that `laguna init` writes, carried in the binary.

/// Path and content of each file; a test compares the list with the folder `template`.
pub const FILES: &[(&str, &[u8])] = &[
    (".gitignore", include_bytes!("../template/.gitignore")),
    ("README.md", include_bytes!("../template/README.md")),
    ("data/customers/2026-01-01.ndjson", include_bytes!("../template/data/customers/2026-01-01.ndjson")),
    ("data/customers/2026-03-01.ndjson", include_bytes!("../template/data/customers/2026-03-01.ndjson")),
    ("data/orders/2026-01.csv", include_bytes!("../template/data/orders/2026-01.csv")),
    ("data/orders/2026-02.csv", include_bytes!("../template/data/orders/2026-02.csv")),
    ("data/orders/2026-03.csv", include_bytes!("../template/data/orders/2026-03.csv")),
    ("enhanced/customer_value.sql", include_bytes!("../template/enhanced/customer_value.sql")),
    ("enhanced/customer_value.yml", include_bytes!("../template/enhanced/customer_value.yml")),
    ("enhanced/sales_daily.sql", include_bytes!("../template/enhanced/sales_daily.sql")),
    ("enhanced/sales_daily.yml", include_bytes!("../template/enhanced/sales_daily.yml")),
    ("laguna.yml", include_bytes!("../template/laguna.yml")),
    ("raw/customers.yml", include_bytes!("../template/raw/customers.yml")),
    ("raw/orders.yml", include_bytes!("../template/raw/orders.yml")),
    ("sanitized/customers.sql", include_bytes!("../template/sanitized/customers.sql")),
    ("sanitized/customers.yml", include_bytes!("../template/sanitized/customers.yml")),
    ("sanitized/orders.sql", include_bytes!("../template/sanitized/orders.sql")),
    ("sanitized/orders.yml", include_bytes!("../template/sanitized/orders.yml")),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }

    #[test]
    fn the_list_is_the_folder() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("template");
        let mut found = Vec::new();
        walk(&root, &mut found);
        let mut found: Vec<String> = found
            .iter()
            .map(|path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned())
            .collect();
        found.sort();
        let listed: Vec<&str> = FILES.iter().map(|(path, _)| *path).collect();
        assert_eq!(found, listed);
    }
}
