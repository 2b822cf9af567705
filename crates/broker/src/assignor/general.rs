//! The sticky assignor where members read different topics, so that quotas are not known beforehand: partitions are
//! placed one by one, and moved for as long as a move makes the group more even.

use std::collections::{BTreeMap, BTreeSet};

use brokerlab_event::StoreId;

use super::{Claims, Subscriber, by_id};

/// Members are numbered by rank, the order of their ids, so that ties break by id.
struct Builder<'a> {
    claims: &'a Claims,
    topics: &'a [Vec<StoreId>],
    /// The topics of each member.
    reads: Vec<BTreeSet<usize>>,
    /// The members that read each topic.
    readers: Vec<Vec<usize>>,
    /// Who has each partition.
    owner: Vec<Option<usize>>,
    /// Numbers the gifts, so that a share is in the order in which its member got it.
    given: Vec<usize>,
    gifts: usize,
    load: Vec<usize>,
    /// Members that take part in balancing, the least loaded first.
    queue: BTreeSet<(usize, usize)>,
    moves: Moves,
}

/// What has moved from whom to whom. A partition is rather brought back than another one of its topic moved the
/// opposite way.
#[derive(Default)]
struct Moves {
    of: BTreeMap<usize, (usize, usize)>,
    by_topic: BTreeMap<(usize, usize, usize), BTreeSet<usize>>,
}

impl Moves {
    fn record(&mut self, at: usize, topic: usize, from: usize, to: usize) {
        let mut origin = from;
        if let Some((first, last)) = self.of.remove(&at) {
            if let Some(moved) = self.by_topic.get_mut(&(topic, first, last)) {
                moved.remove(&at);
            }
            if first == to {
                return;
            }
            origin = first;
        }
        self.of.insert(at, (origin, to));
        self.by_topic.entry((topic, origin, to)).or_default().insert(at);
    }

    /// Which partition of the topic to move instead of this one.
    fn rather(&self, at: usize, topic: usize, from: usize, to: usize) -> usize {
        let origin = self.of.get(&at).map_or(from, |(origin, _)| *origin);
        let opposite = self.by_topic.get(&(topic, to, origin)).and_then(|moved| moved.first());
        opposite.copied().unwrap_or(at)
    }
}

/// What each member gets, as indices of the claims' partitions.
pub(super) fn shares(topics: &[Vec<StoreId>], members: &[Subscriber<'_>], claims: &Claims) -> Vec<Vec<usize>> {
    let order = by_id(members);
    let mut builder = Builder::new(topics, members, &order, claims);
    let changed = builder.drop_unread();
    builder.balance(changed, &former_owners(members, &order, claims));
    let mut shares = vec![Vec::new(); members.len()];
    for (at, owner) in builder.owner.iter().enumerate() {
        if let Some(owner) = owner {
            shares[order[*owner]].push(at);
        }
    }
    for share in &mut shares {
        share.sort_by_key(|at| builder.given[*at]);
    }
    shares
}

/// Who had a partition in an earlier generation than the latest: a better home for what must move anyway.
fn former_owners(members: &[Subscriber<'_>], order: &[usize], claims: &Claims) -> Vec<Option<usize>> {
    let latest = members.iter().filter_map(|member| member.generation).max();
    let mut former: Vec<Option<usize>> = vec![None; claims.places.len()];
    for (rank, member) in order.iter().enumerate() {
        let Subscriber { owned, generation, .. } = members[*member];
        if generation >= latest {
            continue;
        }
        for at in owned.iter().filter_map(|store| claims.find(*store)) {
            if former[at].is_none_or(|other| members[order[other]].generation < generation) {
                former[at] = Some(rank);
            }
        }
    }
    former
}

impl<'a> Builder<'a> {
    fn new(topics: &'a [Vec<StoreId>], members: &[Subscriber<'_>], order: &[usize], claims: &'a Claims) -> Builder<'a> {
        let reads: Vec<BTreeSet<usize>> =
            order.iter().map(|member| members[*member].topics.iter().copied().collect()).collect();
        let readers = |topic| (0..reads.len()).filter(|rank| reads[*rank].contains(&topic)).collect();
        let mut rank = vec![0; members.len()];
        for (place, member) in order.iter().enumerate() {
            rank[*member] = place;
        }
        let readers = (0..topics.len()).map(readers).collect();
        let owner = claims.owner.iter().map(|owner| owner.map(|member| rank[member])).collect();
        let (given, load) = (vec![0; claims.places.len()], vec![0; members.len()]);
        let (queue, moves) = (BTreeSet::new(), Moves::default());
        Builder { claims, topics, reads, readers, owner, given, gifts: 0, load, queue, moves }
    }

    fn topic(&self, at: usize) -> usize {
        self.claims.places[at].topic
    }

    /// Takes partitions from members that do not read their topics any more. True where there were any.
    fn drop_unread(&mut self) -> bool {
        let mut changed = false;
        for at in 0..self.owner.len() {
            let Some(owner) = self.owner[at] else { continue };
            if self.reads[owner].contains(&self.topic(at)) {
                self.load[owner] += 1;
            } else {
                self.owner[at] = None;
                changed = true;
            }
        }
        changed
    }

    fn give(&mut self, at: usize, to: usize) {
        if let Some(from) = self.owner[at].replace(to) {
            self.load_changes(from, |load| load - 1);
        }
        self.load_changes(to, |load| load + 1);
        self.gifts += 1;
        self.given[at] = self.gifts;
    }

    fn load_changes(&mut self, member: usize, change: impl Fn(usize) -> usize) {
        let takes_part = self.queue.remove(&(self.load[member], member));
        self.load[member] = change(self.load[member]);
        if takes_part {
            self.queue.insert((self.load[member], member));
        }
    }

    /// The least loaded member that reads the topic.
    fn best_reader(&self, topic: usize) -> Option<usize> {
        self.queue.iter().map(|(_, member)| *member).find(|member| self.reads[*member].contains(&topic))
    }

    /// Places what nobody has, then moves what makes the group more even.
    fn balance(&mut self, changed: bool, former: &[Option<usize>]) {
        let initializing = self.load.iter().all(|load| *load == 0);
        self.queue = self.load.iter().enumerate().map(|(member, load)| (*load, member)).collect();
        let mut all: Vec<usize> = (0..self.owner.len()).collect();
        all.sort_by_key(|at| (self.readers[self.topic(*at)].len(), *at));
        let mut new: Vec<usize> = all.iter().copied().filter(|at| self.owner[*at].is_none()).collect();
        for at in &new {
            if let Some(reader) = self.best_reader(self.topic(*at)) {
                self.give(*at, reader);
            }
        }
        let can_move = |at: &usize| self.readers[self.topic(*at)].len() >= 2;
        all.retain(can_move);
        new.retain(can_move);
        self.queue.retain(|(_, member)| can_take_part(&self.reads[*member], &self.readers));
        let before = (self.owner.clone(), self.given.clone(), self.load.clone());
        let mut moved = !changed && self.improve(&new, former);
        moved |= self.improve(&all, former);
        if !initializing && moved && unevenness(&self.load) >= unevenness(&before.2) {
            (self.owner, self.given, self.load) = before;
        }
    }

    /// Moves partitions for as long as that helps. True where any was moved.
    fn improve(&mut self, partitions: &[usize], former: &[Option<usize>]) -> bool {
        let mut moved = false;
        let mut balanced = self.is_balanced();
        loop {
            let mut again = false;
            for at in partitions {
                if balanced {
                    return moved;
                }
                if let Some(to) = self.better_home(*at, former) {
                    let owner = self.owner[*at].expect("only partitions with an owner move");
                    let topic = self.topic(*at);
                    let rather = self.moves.rather(*at, topic, owner, to);
                    let from = self.owner[rather].expect("what was moved has an owner");
                    self.moves.record(rather, topic, from, to);
                    self.give(rather, to);
                    balanced = self.is_balanced();
                    (again, moved) = (true, true);
                }
            }
            if !again {
                return moved;
            }
        }
    }

    /// Where this partition had better be.
    fn better_home(&self, at: usize, former: &[Option<usize>]) -> Option<usize> {
        let load = self.load[self.owner[at]?];
        let lighter = |member: &usize| load > self.load[*member] + 1;
        let topic = self.topic(at);
        former[at].filter(lighter).or_else(|| self.best_reader(topic).filter(lighter))
    }

    /// True where nobody could take a partition from somebody who has two more.
    fn is_balanced(&self) -> bool {
        let (Some((least, _)), Some((most, _))) = (self.queue.first(), self.queue.last()) else { return true };
        if most - least <= 1 {
            return true;
        }
        let mut heaviest = vec![0; self.topics.len()];
        for (at, owner) in self.owner.iter().enumerate() {
            let load = owner.map_or(0, |owner| self.load[owner]);
            let topic = self.topic(at);
            heaviest[topic] = load.max(heaviest[topic]);
        }
        let content = |(load, member): &(usize, usize)| self.reads[*member].iter().all(|t| heaviest[*t] <= load + 1);
        self.queue.iter().all(content)
    }
}

/// A member that is the only reader of all its topics has them all, and nothing of it can move.
fn can_take_part(reads: &BTreeSet<usize>, readers: &[Vec<usize>]) -> bool {
    reads.iter().any(|topic| readers[*topic].len() >= 2)
}

/// The sum of all differences between two members.
fn unevenness(loads: &[usize]) -> usize {
    let mut loads = loads.to_vec();
    loads.sort_unstable();
    let mut below = 0;
    let mut sum = 0;
    for (count, load) in loads.into_iter().enumerate() {
        sum += load * count - below;
        below += load;
    }
    sum
}
