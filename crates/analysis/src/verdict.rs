//! Judges what happened against what the configuration promises.

use brokerlab_event::{ApplicationId, Guarantee, Promise};

use crate::{Fate, Judgement, Summary, Verdict};

/// What a guarantee is judged on, for one application.
pub(crate) struct Evidence<'a> {
    pub summary: &'a Summary,
    /// Keyed messages that the application processed.
    pub keyed: u64,
}

/// The verdict on one guarantee for one application.
pub(crate) fn judge(
    guarantee: Guarantee,
    application: ApplicationId,
    promises: &[Promise],
    evidence: &Evidence<'_>,
) -> Verdict {
    let promise = promises.iter().find(|promise| (promise.guarantee, promise.application) == (guarantee, application));
    let breaks = breaks(guarantee, evidence.summary);
    let allowed = promise.map(|promise| promise.allowed.clone()).unwrap_or_default();
    let judgement = if promise.is_none() || !is_applicable(guarantee, evidence) {
        Judgement::NotApplicable
    } else if breaks > 0 {
        if allowed.is_empty() { Judgement::Broken } else { Judgement::AllowedAndBroke }
    } else if guarantee == Guarantee::Delivery && evidence.summary.fates[Fate::Unknown] > 0 {
        Judgement::Unknown
    } else {
        Judgement::Held
    };
    Verdict { guarantee, application, judgement, breaks, allowed }
}

/// Messages that the application neither processed nor can still have, though nobody told the sender so;
/// duplicates; violations of order.
fn breaks(guarantee: Guarantee, summary: &Summary) -> u64 {
    let undelivered = [Fate::DeadLettered, Fate::DroppedByPolicy, Fate::Missed, Fate::Skipped, Fate::Lost];
    match guarantee {
        Guarantee::Delivery => undelivered.iter().map(|&fate| summary.fates[fate]).sum(),
        // What was asked for is no break.
        Guarantee::NoDuplicates => summary.duplicates - summary.replayed,
        Guarantee::KeyOrder => summary.key_order_violations,
    }
}

fn is_applicable(guarantee: Guarantee, evidence: &Evidence<'_>) -> bool {
    match guarantee {
        Guarantee::Delivery => evidence.summary.sent > 0,
        Guarantee::NoDuplicates => evidence.summary.fates[Fate::Processed] > 0,
        Guarantee::KeyOrder => evidence.keyed > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(allowed: Option<&str>, change: impl Fn(&mut Summary)) -> Judgement {
        let application = ApplicationId::new(0);
        let promises = [Promise {
            guarantee: Guarantee::Delivery,
            application,
            allowed: allowed.into_iter().map(String::from).collect(),
        }];
        let mut summary = Summary { offered: 10, sent: 10, ..Summary::default() };
        change(&mut summary);
        judge(Guarantee::Delivery, application, &promises, &Evidence { summary: &summary, keyed: 0 }).judgement
    }

    #[test]
    fn a_break_is_broken_unless_it_is_allowed() {
        assert_eq!(judged(None, |_| {}), Judgement::Held);
        assert_eq!(judged(None, |summary| summary.fates[Fate::Lost] = 1), Judgement::Broken);
        assert_eq!(
            judged(Some("automatic ack"), |summary| summary.fates[Fate::Skipped] = 1),
            Judgement::AllowedAndBroke
        );
        assert_eq!(judged(None, |summary| summary.fates[Fate::Unknown] = 1), Judgement::Unknown);
        assert_eq!(judged(None, |summary| summary.fates[Fate::InBacklog] = 10), Judgement::Held);
        assert_eq!(judged(None, |summary| summary.sent = 0), Judgement::NotApplicable);
    }
}
