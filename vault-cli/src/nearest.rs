//! The name that was meant by one that is not there.

/// Less alike than this is another word (Jaro-Winkler).
const LIKENESS: f64 = 0.8;

/// Of these names the one most like it; none if it is there itself, or none is
/// like it.
pub(crate) fn of<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    if names.contains(&name) {
        return None;
    }
    let likeness = |other: &&str| strsim::jaro_winkler(name, other);
    let near = names.iter().filter(|other| likeness(other) >= LIKENESS);
    near.max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
        .copied()
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn a_slip_finds_its_name_and_another_word_finds_none() {
        let names = ["default", "work", "work-two", "home"];
        assert_eq!(of("wrok", &names), Some("work"));
        assert_eq!(of("defualt", &names), Some("default"));
        assert_eq!(of("work", &names), None);
        assert_eq!(of("elsewhere", &names), None);
        assert_eq!(of("x", &[]), None);
    }
}
