//! Guesses which key somebody meant.

/// Returns the one of `known` that is most like `typed`, if `typed` is likely to be a slip.
pub fn nearest<'k>(typed: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let most = (typed.chars().count() / 3).clamp(1, 3);
    let measured = known.into_iter().map(|known| (distance(typed, known), known));
    let near = measured.filter(|(distance, _)| *distance <= most);
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// Returns how many letters must be added, left out, replaced or swapped with their neighbour to
/// make `two` of `one` (Damerau and Levenshtein).
fn distance(one: &str, two: &str) -> usize {
    let (one, two): (Vec<char>, Vec<char>) = (one.chars().collect(), two.chars().collect());
    // Each row is for a beginning of `one`, each column for a beginning of `two`.
    let mut rows: Vec<Vec<usize>> = vec![(0..=two.len()).collect()];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=two.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(one[i - 1] != two[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == two[j - 2] && one[i - 2] == two[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[one.len()][two.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["port", "address", "session", "idle_timeout", "absolute_timeout"];
        for (typed, meant) in [
            ("prot", "port"),
            ("ports", "port"),
            ("adress", "address"),
            ("sesion", "session"),
            ("idle_timout", "idle_timeout"),
            ("idle-timeout", "idle_timeout"),
        ] {
            assert_eq!(nearest(typed, known), Some(meant), "{typed}");
        }
        for typed in ["", "x", "title", "smtp_host", "timeout", "ä"] {
            assert_eq!(nearest(typed, known), None, "{typed}");
        }
    }
}
