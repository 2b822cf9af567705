//! What becomes of each kind of message, where the demand has several.

use brokerlab_event::{Duration, KindLaw, MessageId, RunHeader};

use crate::{Histogram, KindResults};

/// A tally for each application and kind.
#[derive(Clone)]
pub(crate) struct KindTallies {
    law: KindLaw,
    /// By application, then by kind.
    tallies: Vec<Vec<KindResults>>,
}

impl KindTallies {
    /// Nothing where all messages are of one kind: then the figures of the application say it all.
    pub fn new(header: &RunHeader) -> Option<KindTallies> {
        let law = &header.kinds.law;
        let none = || vec![KindResults { processed: 0, latency: Histogram::default() }; law.count()];
        let tallies = || header.applications.iter().map(|_| none()).collect();
        (law.count() > 1).then(|| KindTallies { law: law.clone(), tallies: tallies() })
    }

    /// The application has processed the message for the first time; nothing where that is not measured.
    #[inline(never)]
    pub fn processed(&mut self, message: MessageId, application: usize, latency: Option<Duration>) {
        let tally = &mut self.tallies[application][usize::from(self.law.of(message))];
        tally.processed += 1;
        if let Some(latency) = latency {
            tally.latency.record(latency);
        }
    }

    /// The figures of each kind for this application.
    pub fn take(&mut self, application: usize) -> Vec<KindResults> {
        std::mem::take(&mut self.tallies[application])
    }
}
