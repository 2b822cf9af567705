//! "Did you mean": the known name that is closest to a misspelt one.

/// The closest of the names, if one is close enough to be a likely misspelling.
pub fn closest<'a>(found: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase();
    names
        .map(|name| (strsim::damerau_levenshtein(&found, &name.to_lowercase()), name))
        .filter(|(distance, name)| {
            *distance <= name.len().max(found.len()).div_ceil(3).min(4) && *distance < name.len()
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// A half-sentence with the closest name, or nothing.
pub(crate) fn did_you_mean<'a>(found: &str, names: impl Iterator<Item = &'a str>) -> String {
    closest(found, names).map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}
