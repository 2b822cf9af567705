//! Colours and marks: hue means system, shape helps where colour cannot, dash means theory.

use brokerlab_event::Model;

/// A colour.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Rgb(pub u8, pub u8, pub u8);

impl Rgb {
    /// This colour with `percent` of another mixed in. Plots use opaque colours only, so that SVG and PNG agree.
    pub const fn mixed(self, other: Rgb, percent: u32) -> Rgb {
        const fn channel(a: u8, b: u8, percent: u32) -> u8 {
            ((a as u32 * (100 - percent) + b as u32 * percent + 50) / 100) as u8
        }
        Rgb(channel(self.0, other.0, percent), channel(self.1, other.1, percent), channel(self.2, other.2, percent))
    }

    /// The grey of the same brightness, in the weights of Rec. 709.
    pub const fn grey(self) -> Rgb {
        let value = ((self.0 as u32 * 2126 + self.1 as u32 * 7152 + self.2 as u32 * 722 + 5_000) / 10_000) as u8;
        Rgb(value, value, value)
    }

    /// `#0072B2`.
    pub fn hex(self) -> String {
        format!("#{:02X}{:02X}{:02X}", self.0, self.1, self.2)
    }
}

/// Light paper or a dark screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Theme {
    /// Dark on light, for paper and bright rooms.
    #[default]
    Light,
    /// Light on dark.
    Dark,
}

/// The form of a mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// A disc, or a ring where open.
    Circle,
    /// A square.
    Square,
    /// A triangle that points up.
    Triangle,
    /// A square on its corner.
    Diamond,
    /// A triangle that points down.
    Wedge,
    /// A plus sign.
    Plus,
}

/// How a contender looks in every plot of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    /// Which of the six hues.
    pub hue: u8,
    /// The form of its marks.
    pub mark: Mark,
    /// A second variant of a model: open marks, and a stronger tone of the same hue.
    pub variant: bool,
}

const MARKS: [Mark; 6] = [Mark::Circle, Mark::Square, Mark::Triangle, Mark::Diamond, Mark::Wedge, Mark::Plus];

/// The hue that belongs to a model in every run.
fn home(model: Model) -> u8 {
    match model {
        Model::Queue => 0,
        Model::Log => 1,
        Model::Fanout => 2,
        Model::Broadcast => 3,
        Model::ShareGroup => 4,
        Model::Stream => 5,
    }
}

/// The looks of up to six contenders. The first of a model has the model's hue and mark; the second the same hue
/// in another tone with open marks; any further one takes a hue that nobody uses.
pub fn looks(models: &[Model]) -> Vec<Look> {
    let mut taken: Vec<u8> = models.iter().map(|model| home(*model)).collect();
    let mut result = Vec::with_capacity(models.len());
    for (index, model) in models.iter().enumerate() {
        let hue = home(*model);
        let look = match models[..index].iter().filter(|earlier| *earlier == model).count() {
            0 => Look { hue, mark: MARKS[usize::from(hue)], variant: false },
            1 => Look { hue, mark: MARKS[usize::from(hue)], variant: true },
            _ => {
                // Past six hues they repeat as variants: more contenders than a plot can tell apart.
                // Of the two hues that are rarely taken, brown is far from the queue's blue and indigo from the log's
                // orange; the other one would look like the model's own second tone.
                let order = if *model == Model::Log { [4, 5, 3, 2, 1, 0] } else { [5, 4, 3, 2, 1, 0] };
                let free = order.into_iter().find(|hue| !taken.contains(hue));
                let hue = free.unwrap_or((index % 6) as u8);
                taken.push(hue);
                Look { hue, mark: MARKS[usize::from(hue)], variant: free.is_none() }
            }
        };
        result.push(look);
    }
    result
}

/// How many per cent of a contender's colour its tones hold; the rest is the panel's.
pub(crate) const TONES: [u32; 6] = [22, 38, 54, 70, 85, 100];

/// Every colour of a plot by its role.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Palette {
    /// Behind everything.
    pub background: Rgb,
    /// Inside the axes and tables.
    pub panel: Rgb,
    /// Text and axes.
    pub text: Rgb,
    /// Secondary text: at least 4.5:1.
    pub muted: Rgb,
    /// Grid lines.
    pub grid: Rgb,
    /// Shading of faults.
    pub span: Rgb,
    /// Theory and reference lines.
    pub theory: Rgb,
    hues: [Rgb; 6],
    variants: [Rgb; 6],
}

const LIGHT: [Rgb; 6] = [
    Rgb(0x00, 0x72, 0xB2),
    Rgb(0xC0, 0x4F, 0x00),
    Rgb(0x2A, 0x94, 0x74),
    Rgb(0x8C, 0x1A, 0x6A),
    Rgb(0x3A, 0x1F, 0xA8),
    Rgb(0x5A, 0x3A, 0x00),
];
const DARK: [Rgb; 6] = [
    Rgb(0x56, 0xB4, 0xE9),
    Rgb(0xF0, 0xA0, 0x30),
    Rgb(0x24, 0xA0, 0x7A),
    Rgb(0xD0, 0x60, 0xB0),
    Rgb(0x4D, 0x6A, 0xFF),
    Rgb(0xF0, 0xE8, 0x90),
];

const LIGHT_GREYS: [u8; 6] = [0x00, 0x86, 0x50, 0x36, 0x6B, 0x1A];
const LIGHT_VARIANT_GREYS: [u8; 6] = [0x43, 0x5D, 0x28, 0x78, 0x0D, 0x74];
const DARK_GREYS: [u8; 6] = [0xFF, 0x7C, 0xB0, 0xCA, 0x96, 0xE4];
const DARK_VARIANT_GREYS: [u8; 6] = [0xBD, 0xA3, 0xD7, 0x89, 0xF2, 0x90];

impl Palette {
    /// The colours of a theme, or their greys.
    pub fn new(theme: Theme, greyscale: bool) -> Palette {
        let palette = match theme {
            Theme::Light => Palette {
                background: Rgb(0xFA, 0xFA, 0xFA),
                panel: Rgb(0xFF, 0xFF, 0xFF),
                text: Rgb(0x14, 0x14, 0x14),
                muted: Rgb(0x5A, 0x5E, 0x63),
                grid: Rgb(0xE3, 0xE5, 0xE8),
                span: Rgb(0xEC, 0xEE, 0xF1),
                theory: Rgb(0x59, 0x59, 0x59),
                hues: LIGHT,
                variants: LIGHT.map(|hue| hue.mixed(Rgb(0, 0, 0), 45)),
            },
            Theme::Dark => Palette {
                background: Rgb(0x1B, 0x1B, 0x1B),
                panel: Rgb(0x21, 0x21, 0x22),
                text: Rgb(0xEB, 0xEB, 0xEB),
                muted: Rgb(0xA6, 0xAA, 0xB0),
                grid: Rgb(0x38, 0x39, 0x3B),
                span: Rgb(0x2E, 0x2F, 0x32),
                theory: Rgb(0xB0, 0xB0, 0xB0),
                hues: DARK,
                variants: DARK.map(|hue| hue.mixed(Rgb(255, 255, 255), 45)),
            },
        };
        if greyscale { palette.greyed(theme) } else { palette }
    }

    /// The colour of a look.
    pub fn of(&self, look: Look) -> Rgb {
        let tones = if look.variant { &self.variants } else { &self.hues };
        tones[usize::from(look.hue)]
    }

    /// Every colour with the name of its role, for style sheets.
    pub fn roles(&self) -> Vec<(String, Rgb)> {
        let mut roles: Vec<(String, Rgb)> = [
            ("background", self.background),
            ("panel", self.panel),
            ("text", self.text),
            ("muted", self.muted),
            ("grid", self.grid),
            ("span", self.span),
            ("theory", self.theory),
        ]
        .map(|(name, colour)| (name.to_owned(), colour))
        .into();
        roles.extend(self.hues.iter().enumerate().map(|(i, colour)| (format!("hue-{i}"), *colour)));
        roles.extend(self.variants.iter().enumerate().map(|(i, colour)| (format!("variant-{i}"), *colour)));
        roles
    }

    /// A lighter tone of a look on the panel: the first of [`TONES`] for bands, all of them for cells.
    pub(crate) fn tone(&self, look: Look, step: usize) -> Rgb {
        self.panel.mixed(self.of(look), TONES[step])
    }

    /// Every tone with how a style sheet mixes it.
    pub(crate) fn tones(&self) -> Vec<(String, Rgb)> {
        let hues = (0..6).flat_map(|hue| [("hue", hue, self.hues[hue]), ("variant", hue, self.variants[hue])]);
        let tones = hues.flat_map(|(name, hue, colour)| {
            TONES.iter().filter(|share| **share < 100).map(move |share| {
                let mix = format!("color-mix(in srgb,var(--{name}-{hue}) {share}%,var(--panel))");
                (mix, self.panel.mixed(colour, *share))
            })
        });
        tones.collect()
    }

    /// Grounds and text by their brightness; contenders by ramps of their own, because bright colours that differ in
    /// hue, such as the queue's and the log's, have nearly the same grey.
    fn greyed(self, theme: Theme) -> Palette {
        let (hues, variants) = match theme {
            Theme::Light => (LIGHT_GREYS, LIGHT_VARIANT_GREYS),
            Theme::Dark => (DARK_GREYS, DARK_VARIANT_GREYS),
        };
        let grey = |value| Rgb(value, value, value);
        Palette {
            background: self.background.grey(),
            panel: self.panel.grey(),
            text: self.text.grey(),
            muted: self.muted.grey(),
            grid: self.grid.grey(),
            span: self.span.grey(),
            theory: self.theory.grey(),
            hues: hues.map(grey),
            variants: variants.map(grey),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(channel: u8) -> f64 {
        let c = f64::from(channel) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { libm::pow((c + 0.055) / 1.055, 2.4) }
    }

    fn linear_rgb(colour: Rgb) -> [f64; 3] {
        [linear(colour.0), linear(colour.1), linear(colour.2)]
    }

    fn contrast(a: Rgb, b: Rgb) -> f64 {
        let luminance = |colour| {
            let [r, g, b] = linear_rgb(colour);
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// Normal sight, protanopia and deuteranopia (Machado, Oliveira and Fernandes 2009, severity 1).
    const SIGHTS: [[[f64; 3]; 3]; 3] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    ];

    fn lab(colour: Rgb, sight: &[[f64; 3]; 3]) -> [f64; 3] {
        let rgb = linear_rgb(colour);
        let [r, g, b] = sight.map(|row| row.iter().zip(rgb).map(|(weight, c)| weight * c).sum::<f64>().clamp(0.0, 1.0));
        let f = |t: f64| if t > 0.008856 { libm::cbrt(t) } else { 7.787 * t + 16.0 / 116.0 };
        let x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047);
        let y = f(0.2126 * r + 0.7152 * g + 0.0722 * b);
        let z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883);
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    /// The smallest CIE76 distance under any of the three kinds of sight.
    fn distance(a: Rgb, b: Rgb) -> f64 {
        let under = |sight| {
            let (a, b) = (lab(a, sight), lab(b, sight));
            libm::sqrt(a.iter().zip(b).map(|(p, q)| (p - q) * (p - q)).sum())
        };
        SIGHTS.iter().map(under).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn marks_and_text_stand_out_from_every_ground() {
        let looks = [(Theme::Light, false), (Theme::Dark, false), (Theme::Light, true), (Theme::Dark, true)];
        for (theme, greyscale) in looks {
            let palette = Palette::new(theme, greyscale);
            for ground in [palette.background, palette.panel, palette.span] {
                for colour in palette.hues.iter().chain(&palette.variants) {
                    assert!(contrast(*colour, ground) >= 3.0, "{theme:?} {} on {}", colour.hex(), ground.hex());
                }
                for text in [palette.text, palette.muted, palette.theory] {
                    assert!(contrast(text, ground) >= 4.5, "{theme:?} {} on {}", text.hex(), ground.hex());
                }
            }
        }
    }

    #[test]
    fn six_contenders_differ_for_every_kind_of_sight() {
        for theme in [Theme::Light, Theme::Dark] {
            let palette = Palette::new(theme, false);
            for (i, a) in palette.hues.iter().enumerate() {
                for b in &palette.hues[i + 1..] {
                    assert!(distance(*a, *b) >= 20.0, "{theme:?}: {} and {}", a.hex(), b.hex());
                }
                let shift = distance(*a, palette.variants[i]);
                assert!(shift >= 14.0, "{theme:?}: {} and its variant: {shift}", a.hex());
            }
            assert!(distance(palette.hues[0], palette.hues[1]) >= 80.0, "queue and log are told apart at a glance");
        }
    }

    #[test]
    fn models_differ_in_grey_too() {
        for theme in [Theme::Light, Theme::Dark] {
            let palette = Palette::new(theme, true);
            for (i, a) in palette.hues.iter().enumerate() {
                assert!(palette.hues[i + 1..].iter().all(|b| a.0.abs_diff(b.0) >= 24), "{theme:?}: {}", a.hex());
                assert!(a.0.abs_diff(palette.variants[i].0) >= 12, "{theme:?}: {} and its variant", a.hex());
            }
            assert!(palette.hues[0].0.abs_diff(palette.hues[1].0) >= 120, "queue and log are told apart at a glance");
        }
    }

    #[test]
    fn two_variants_of_a_model_share_a_hue_and_a_third_takes_a_free_one() {
        let looks = looks(&[Model::Queue, Model::Log, Model::Queue, Model::Queue]);
        assert_eq!((looks[0].hue, looks[2].hue), (0, 0));
        assert!(!looks[0].variant && looks[2].variant);
        assert_eq!(looks[1].mark, Mark::Square);
        assert!(![0, 1].contains(&looks[3].hue));
        let distinct: std::collections::BTreeSet<_> = looks.iter().map(|look| (look.hue, look.variant)).collect();
        assert_eq!(distinct.len(), 4);
    }

    #[test]
    fn three_contenders_of_one_model_differ_for_every_kind_of_sight() {
        for (model, theme) in Model::ALL.into_iter().flat_map(|model| [(model, Theme::Light), (model, Theme::Dark)]) {
            let colours = looks(&[model; 3]).into_iter().map(|look| Palette::new(theme, false).of(look));
            let colours: Vec<Rgb> = colours.collect();
            for (a, b) in [(0, 1), (0, 2), (1, 2)] {
                let apart = distance(colours[a], colours[b]);
                assert!(apart >= 14.0, "{model:?} {theme:?}: {} and {}", colours[a].hex(), colours[b].hex());
            }
        }
    }
}
