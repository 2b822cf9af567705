//! Bars on standard error, one for each contender, while somebody can see them.

use std::io::IsTerminal;

use brokerlab_lab::{Experiment, Progress};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// A bar has this many steps.
const STEPS: u64 = 1000;

/// The bars of an experiment.
pub struct Bars {
    /// By the scenario's contenders; those that are not run have none.
    bars: Vec<Option<ProgressBar>>,
}

impl Bars {
    /// Shows a bar for each contender to be run; none where standard error is no terminal or nobody wants them.
    pub fn new(experiment: &Experiment, quiet: bool) -> Bars {
        let all = MultiProgress::new();
        let seen = std::io::stderr().is_terminal() && !quiet;
        let contenders = &experiment.scenario.contenders;
        let width = contenders.iter().map(|contender| contender.name.len()).max().unwrap_or(0);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} % {elapsed:>4}");
        let style = style.expect("the template is valid").progress_chars("━╸ ");
        let bar = |index: usize| {
            let bar = all.add(ProgressBar::new(STEPS).with_style(style.clone()));
            bar.set_message(format!("{:width$}", contenders[index].name));
            bar
        };
        let shown = |index: &usize| seen && experiment.contenders.contains(index);
        Bars { bars: (0..contenders.len()).map(|index| shown(&index).then(|| bar(index))).collect() }
    }

    /// Takes the bars away.
    pub fn clear(&self) {
        self.bars.iter().flatten().for_each(ProgressBar::finish_and_clear);
    }
}

impl Progress for Bars {
    fn advance(&self, contender: usize, part: f64) {
        if let Some(bar) = &self.bars[contender] {
            bar.set_position((part * STEPS as f64) as u64);
        }
    }
}
