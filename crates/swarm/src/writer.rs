//! Writes random texts, one option after the other.

use std::fmt::Write;

use brokerlab_event::Generator;

/// Options with the values that they may get, as they stand in a file.
pub type Choices<'a> = &'a [(&'a str, &'a [&'a str])];

/// A text that grows, and the chance that decides what it says.
pub struct Writer {
    chance: Generator,
    text: String,
}

impl Writer {
    /// The beginning of a scenario with this seed.
    pub fn new(seed: u64, title: &str, duration: &str) -> Writer {
        let mut writer = Writer { chance: Generator::new(seed, title), text: String::new() };
        let latency = writer.one_of(&["0s", "500us", "50ms", "50ms", "260ms"]);
        writer.line(format_args!("format = 1\ntitle = \"{title} {seed}\"\nduration = \"{duration}\"\nseed = {seed}"));
        writer.some_of(&[("warm_up", &["\"1s\""])]);
        writer.line(format_args!("network = {{ latency = \"{latency}\" }}"));
        writer
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.chance.below(bound)
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }

    pub fn line(&mut self, line: std::fmt::Arguments) {
        writeln!(self.text, "{line}").expect("writing to a string works");
    }

    /// Each of these options, with one of its values.
    pub fn all_of(&mut self, options: Choices) {
        for (name, values) in options {
            let value = self.one_of(values);
            self.line(format_args!("{name} = {value}"));
        }
    }

    /// A few of these options, each with one of its values. The others keep their defaults.
    pub fn some_of(&mut self, options: Choices) {
        for option in options {
            if self.once_in(4) {
                self.all_of(std::slice::from_ref(option));
            }
        }
    }

    /// What it says.
    pub fn into_text(self) -> String {
        self.text
    }
}
