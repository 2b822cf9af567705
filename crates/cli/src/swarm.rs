//! `swarm`

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Instant;

use brokerlab_lab::reporting::grouped;
use brokerlab_swarm::{Kind, hunt};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::SwarmArgs;
use crate::terminal::{print, say};

/// Judges the seeds of each kind, or prints the scenarios that they make.
pub fn swarm(args: &SwarmArgs) -> anyhow::Result<ExitCode> {
    let kinds: Vec<Kind> = match args.kinds.as_slice() {
        [] => Kind::ALL.to_vec(),
        kinds => kinds.iter().map(|kind| kind.kind()).collect(),
    };
    let seeds = args.from..args.from.saturating_add(args.seeds);
    if args.print {
        for kind in kinds {
            seeds.clone().try_for_each(|seed| print(&kind.scenario(seed)))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    // What breaks is caught and told below.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let mut code = ExitCode::SUCCESS;
    for kind in kinds {
        if !judge(kind, seeds.clone(), args)? {
            code = ExitCode::from(crate::FAILED);
        }
    }
    std::panic::set_hook(hook);
    Ok(code)
}

fn judge(kind: Kind, seeds: std::ops::Range<u64>, args: &SwarmArgs) -> anyhow::Result<bool> {
    let bar = bar(kind, args);
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let (name, began) = (kind.name(), Instant::now());
    let found = hunt(kind, seeds, threads, || bar.inc(1));
    bar.finish_and_clear();
    let Some(find) = found else {
        let rate = args.seeds as f64 / began.elapsed().as_secs_f64().max(1e-3);
        print(&format!("{name}: all {} hold from seed {} on\n", grouped(args.seeds), args.from))?;
        if !args.quiet {
            say(&format!("{name}: {rate:.0} a second on {threads} threads"));
        }
        return Ok(true);
    };
    print(&format!(
        "{name}: seed {0} breaks: {1}\n  again:        brokerlab swarm --kind {name} --from {0} --seeds 1\n  \
         its scenario: brokerlab swarm --kind {name} --from {0} --seeds 1 --print\n",
        find.seed, find.message
    ))?;
    Ok(false)
}

fn bar(kind: Kind, args: &SwarmArgs) -> ProgressBar {
    if !std::io::stderr().is_terminal() || args.quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec} {elapsed:>4}");
    let style = style.expect("the template is valid").progress_chars("━╸ ");
    let bar = ProgressBar::new(args.seeds).with_style(style);
    bar.set_message(kind.name());
    bar
}
