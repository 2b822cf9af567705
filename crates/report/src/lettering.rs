//! The embedded font: widths for the layout, and coverage for bitmaps. No font of the machine is ever used.

use ab_glyph::{Font, FontRef, GlyphId, ScaleFont, point};

/// Thickness of letters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weight {
    /// For most text.
    Regular,
    /// For titles and what should be seen first.
    Bold,
}

/// The font file for most text (TrueType).
pub const REGULAR: &[u8] = include_bytes!("../assets/fonts/IBMPlexSans-Regular.ttf");
/// The font file for titles (TrueType).
pub const BOLD: &[u8] = include_bytes!("../assets/fonts/IBMPlexSans-SemiBold.ttf");

/// What SVG files ask for. Where the first is not installed the reader's own sans serif steps in, which is why
/// layouts leave room for wider letters.
pub const FAMILIES: &str = "IBM Plex Sans, Helvetica Neue, Arial, sans-serif";

fn font(weight: Weight) -> FontRef<'static> {
    let bytes = match weight {
        Weight::Regular => REGULAR,
        Weight::Bold => BOLD,
    };
    FontRef::try_from_slice(bytes).expect("the embedded font is well-formed, which a test checks")
}

/// One glyph after the other with its horizontal place, at `size` pixels an em.
fn placed<F: Font>(font: &F, size: f64, text: &str) -> (Vec<(GlyphId, f32)>, f32) {
    // ab_glyph scales by the height of a line; we think in pixels an em, as SVG does.
    let per_em = font.units_per_em().expect("the embedded font states its units");
    let scaled = font.as_scaled(size as f32 * font.height_unscaled() / per_em);
    let (mut x, mut previous) = (0.0, None);
    let mut glyphs = Vec::with_capacity(text.len());
    for letter in text.chars() {
        let id = scaled.glyph_id(letter);
        if let Some(previous) = previous {
            x += scaled.kern(previous, id);
        }
        glyphs.push((id, x));
        x += scaled.h_advance(id);
        previous = Some(id);
    }
    (glyphs, x)
}

/// How wide a text is, in the unit of `size` (pixels an em).
pub fn width(text: &str, size: f64, weight: Weight) -> f64 {
    f64::from(placed(&font(weight), size, text).1)
}

/// The text, or as much of its beginning as fits into this many pixels, with an ellipsis.
pub fn fitted(text: &str, size: f64, weight: Weight, room: f64) -> String {
    if width(text, size, weight) <= room {
        return text.to_owned();
    }
    let mut shorter = text.to_owned();
    while shorter.pop().is_some() {
        let cut = format!("{}…", shorter.trim_end());
        if width(&cut, size, weight) <= room {
            return cut;
        }
    }
    String::new()
}

#[cfg(test)]
/// True where the embedded font can draw this letter.
pub fn has(letter: char) -> bool {
    font(Weight::Regular).glyph_id(letter).0 != 0
}

/// Calls `draw(x, y, coverage)` for every pixel that a text touches, in pixels from the start of its baseline.
pub fn rasterise(text: &str, size: f64, weight: Weight, mut draw: impl FnMut(i32, i32, f32)) {
    let font = font(weight);
    let per_em = font.units_per_em().expect("the embedded font states its units");
    let scale = size as f32 * font.height_unscaled() / per_em;
    for (id, x) in placed(&font, size, text).0 {
        let glyph = id.with_scale_and_position(scale, point(x, 0.0));
        let Some(outline) = font.outline_glyph(glyph) else { continue };
        let bounds = outline.px_bounds();
        let (left, top) = (bounds.min.x as i32, bounds.min.y as i32);
        outline.draw(|x, y, coverage| draw(left + x as i32, top + y as i32, coverage));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_does_not_fit_ends_in_an_ellipsis() {
        let fit = |room| fitted("crash the consumer", 14.0, Weight::Regular, room);
        assert_eq!(fit(500.0), "crash the consumer");
        assert_eq!(fit(60.0), "crash t…");
        assert_eq!(fit(2.0), "");
    }

    #[test]
    fn digits_are_tabular_so_that_columns_line_up() {
        for weight in [Weight::Regular, Weight::Bold] {
            let zero = width("0", 100.0, weight);
            assert!(zero > 30.0 && zero < 100.0, "{zero} is a plausible share of an em");
            assert!(('1'..='9').all(|digit| width(&digit.to_string(), 100.0, weight) == zero));
        }
    }

    #[test]
    fn the_letters_that_plots_use_are_in_the_font() {
        assert!("0123456789,.%−–…·×≤≥→←Åéλμ".chars().all(has));
        assert!(!has('漢'), "the check can fail");
    }
}
