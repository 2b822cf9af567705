//! What queueing theory says of a queue with several servers, to hold runs against.

/// One queue in order of arrival before some servers that are all alike, with independent (Poisson) arrivals and
/// exponential work, once it has settled: M/M/c in Kendall's notation. (L. Kleinrock, Queueing Systems I, 1975,
/// section 3.5; A. K. Erlang's second formula, 1917.)
///
/// ```
/// use brokerlab_analysis::Theory;
///
/// // Eight messages a second, and a server that needs a tenth of a second for each.
/// let theory = Theory::new(8.0, 0.1, 1).expect("it keeps up");
/// assert!((theory.mean_number() - 4.0).abs() < 1e-12, "ρ / (1 - ρ)");
/// assert!((theory.mean_time() - 0.5).abs() < 1e-12, "1 / (μ - λ)");
/// assert!(Theory::new(10.0, 0.1, 1).is_none(), "there is no steady state");
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Theory {
    arrivals: f64,
    work: f64,
    servers: u32,
    wait: f64,
}

impl Theory {
    /// A queue with so many arrivals a second, a mean time of work in seconds, and so many servers. `None` where they do
    /// not keep up, and no state lasts.
    pub fn new(arrivals: f64, work: f64, servers: u32) -> Option<Theory> {
        let load = arrivals * work;
        let is_sound = arrivals > 0.0 && work > 0.0 && load.is_finite();
        (is_sound && load < f64::from(servers)).then(|| Theory {
            arrivals,
            work,
            servers,
            wait: erlang_c(servers, load),
        })
    }

    /// `M/M/3`.
    pub fn name(&self) -> String {
        format!("M/M/{}", self.servers)
    }

    /// Which part of the time a server is at work, ρ.
    pub fn utilisation(&self) -> f64 {
        self.arrivals * self.work / f64::from(self.servers)
    }

    /// The chance that a message has to wait (Erlang's C).
    pub fn chance_to_wait(&self) -> f64 {
        self.wait
    }

    /// The mean time from arrival until the work is done, in seconds.
    pub fn mean_time(&self) -> f64 {
        self.work + self.wait / self.spare()
    }

    /// The mean number of messages that wait or are worked on: by Little's law the rate times the time.
    pub fn mean_number(&self) -> f64 {
        self.arrivals * self.mean_time()
    }

    /// Which part of messages is done within so many seconds of their arrival.
    pub fn share_within(&self, seconds: f64) -> f64 {
        let (rate, spare, time) = (1.0 / self.work, self.spare(), seconds.max(0.0));
        let decay = |rate: f64| libm::exp(-rate * time);
        // Who waits does so for an exponential time, and is worked on after that: the sum of two of them.
        let of_both = match (spare - rate).abs() < 1e-9 * rate {
            true => (1.0 + rate * time) * decay(rate),
            false => (spare * decay(rate) - rate * decay(spare)) / (spare - rate),
        };
        (1.0 - (1.0 - self.wait) * decay(rate) - self.wait * of_both).clamp(0.0, 1.0)
    }

    /// By how much the servers together are faster than what arrives, in messages a second.
    fn spare(&self) -> f64 {
        f64::from(self.servers) / self.work - self.arrivals
    }
}

/// By Erlang's recursion for the chance that all servers of a system without a queue are taken, which neither overflows
/// nor needs factorials.
fn erlang_c(servers: u32, load: f64) -> f64 {
    let blocked = (1..=servers).fold(1.0, |blocked, k| load * blocked / (f64::from(k) + load * blocked));
    blocked / (1.0 - load / f64::from(servers) * (1.0 - blocked))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9 * b.abs().max(1.0)
    }

    #[test]
    fn known_answers() {
        // One server: ρ, 1 / (μ - λ), and exponential times with that rate.
        let one = Theory::new(3.0, 0.25, 1).expect("it keeps up");
        assert!(close(one.chance_to_wait(), 0.75) && close(one.utilisation(), 0.75) && close(one.mean_time(), 1.0));
        assert!(close(one.share_within(2.0), 1.0 - libm::exp(-2.0)));
        // Two servers: 2ρ² / (1 + ρ), and S / (1 - ρ²).
        let two = Theory::new(3.0, 0.5, 2).expect("they keep up");
        assert!(close(two.chance_to_wait(), 2.0 * 0.5625 / 1.75) && close(two.mean_time(), 0.5 / (1.0 - 0.5625)));
        // Two servers at half their capacity have spare what one of them does: the two exponentials are alike.
        let alike = Theory::new(1.0, 1.0, 2).expect("they keep up");
        let near = Theory::new(1.000_001, 1.0, 2).expect("they keep up");
        assert!((alike.share_within(1.5) - near.share_within(1.5)).abs() < 1e-5);
        // Tables of Erlang's C: eight servers with a load of six.
        let eight = Theory::new(6.0, 1.0, 8).expect("they keep up");
        assert!((eight.chance_to_wait() - 0.357).abs() < 5e-4, "{}", eight.chance_to_wait());
    }

    #[test]
    fn shares_grow_from_none_to_all_and_their_mean_is_the_mean_time() {
        for (arrivals, work, servers) in [(0.5, 1.0, 1), (2.9, 1.0, 3), (40.0, 0.05, 12), (900.0, 0.001, 1)] {
            let theory = Theory::new(arrivals, work, servers).expect("they keep up");
            let (step, mut mean, mut before) = (theory.mean_time() / 500.0, 0.0, theory.share_within(0.0));
            assert!(close(before, 0.0), "{before}");
            for index in 1..20_000 {
                let share = theory.share_within(f64::from(index) * step);
                assert!(share >= before - 1e-15, "{share} after {before}");
                mean += (1.0 - (share + before) / 2.0) * step;
                before = share;
            }
            assert!((mean / theory.mean_time() - 1.0).abs() < 1e-3, "{} by {mean}", theory.mean_time());
        }
    }

    #[test]
    fn where_nothing_lasts_there_is_none() {
        for (arrivals, work, servers) in
            [(10.0, 0.1, 1), (11.0, 0.1, 1), (0.0, 0.1, 1), (1.0, 0.0, 1), (1.0, 0.1, 0), (f64::NAN, 1.0, 1)]
        {
            assert_eq!(Theory::new(arrivals, work, servers), None);
        }
    }
}
