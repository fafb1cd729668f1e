//! The name a person probably meant.

/// Names this long are compared: longer ones are no typing mistakes of each other.
const NAME_CHARS_MAX: usize = 64;

/// The nearest of `names` to `wrong`, where one is near enough to be a slip of the finger.
pub(crate) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = wrong.chars().count();
    let allowed = if length <= 3 { 1 } else { (length / 3).max(2) };
    names
        .into_iter()
        .map(|name| (distance(wrong, name), name))
        .filter(|(d, name)| *d <= allowed && *d < name.chars().count().max(length))
        .min_by_key(|(d, _)| *d)
        .map(|(_, name)| name)
}

/// `did you mean …?` where a name is near.
pub(crate) fn did_you_mean<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(wrong, names).map(|name| format!("did you mean `{name}`?"))
}

/// Levenshtein distance: insertions, deletions and replacements of single characters.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(NAME_CHARS_MAX).collect();
    let b: Vec<char> = b.chars().take(NAME_CHARS_MAX).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_a_different_word_is_not() {
        let names = ["valve", "air", "air_min", "sp"];
        assert_eq!(nearest("vavle", names), Some("valve"));
        assert_eq!(nearest("valv", names), Some("valve"));
        assert_eq!(nearest("air_mn", names), Some("air_min"));
        assert_eq!(nearest("pressure", names), None);
        assert_eq!(did_you_mean("spp", names), Some("did you mean `sp`?".to_owned()));
    }
}
