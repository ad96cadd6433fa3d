//! The nearest valid name to what someone typed.

/// The candidate closest to `word`, if one is close enough to be what was meant.
pub fn nearest<'a, I, S>(word: &str, candidates: I) -> Option<&'a str>
where
    I: IntoIterator<Item = &'a S>,
    S: AsRef<str> + ?Sized + 'a,
{
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| candidate.as_ref())
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (word.len().max(candidate.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A hint such as ``did you mean `carrier`?``, or the list of what is valid (the first 20).
pub fn hint<'a, I, S>(word: &str, candidates: I) -> String
where
    I: IntoIterator<Item = &'a S> + Clone,
    S: AsRef<str> + ?Sized + 'a,
{
    if let Some(near) = nearest(word, candidates.clone()) {
        return format!("did you mean `{near}`?");
    }
    let mut all: Vec<&str> = candidates.into_iter().map(|candidate| candidate.as_ref()).collect();
    all.sort_unstable();
    match all.len() {
        0 => "there are none yet".to_string(),
        n if n > 20 => format!("valid are {}, … ({n} in all)", all[..20].join(", ")),
        _ => format!("valid are {}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_far_ones_are_listed() {
        let names = ["materialize", "checks", "owner"];
        assert_eq!(nearest("materialise", &names), Some("materialize"));
        assert_eq!(nearest("ownr", &names), Some("owner"));
        assert_eq!(nearest("xyz", &names), None);
        assert_eq!(hint("xyz", &names), "valid are checks, materialize, owner");
    }
}
