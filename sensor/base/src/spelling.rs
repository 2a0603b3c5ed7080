// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! How far two names are from each other: for "did you mean".
//!
//! Must never be asked about more than names: its time is the product of both lengths. Limit: [`MAX_NAME`].

/// Longest name that is compared: a longer one is no slip of the finger.
pub const MAX_NAME: usize = 80;

/// The edit distance of two names (insertions, deletions, changes of a letter); None where one is too long.
pub fn distance(a: &str, b: &str) -> Option<usize> {
    if a.len().max(b.len()) > 2 * MAX_NAME || a.len().min(b.len()) > MAX_NAME {
        return None;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row.first().copied()?;
        *row.first_mut()? = i + 1;
        for (j, y) in b.iter().enumerate() {
            let (left, up) = (row[j], row[j + 1]); // the row is one longer than b
            row[j + 1] = (corner + usize::from(x != *y)).min(left + 1).min(up + 1);
            corner = up;
        }
    }
    row.last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_counted_and_long_names_are_not_compared() {
        for (a, b, want) in
            [("", "", 0), ("", "abc", 3), ("content", "contnet", 2), ("kitten", "sitting", 3), ("größe", "grösse", 2)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (Some(want), Some(want)), "{a} {b}");
        }
        assert_eq!(distance(&"a".repeat(200), "b"), None);
    }
}
