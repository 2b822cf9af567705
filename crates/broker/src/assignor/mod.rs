//! Who reads which partition: the assignors that the leader of a classic group runs, and those of the coordinator in
//! the newer protocol (KIP-848). All are pure functions of the topics and the members.
//!
//! Racks are left out: every reader is as near to a partition as any other.

mod cooperative;
mod general;
mod range;
mod round_robin;
mod sticky;
mod uniform;

use brokerlab_event::StoreId;

pub use cooperative::cooperative_sticky;
pub use range::range;
pub use round_robin::round_robin;
pub use sticky::sticky;
pub use uniform::uniform;

/// The strategies that members of a classic group can agree on (`partition.assignment.strategy`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Assignor {
    /// [`range`].
    Range,
    /// [`round_robin`].
    RoundRobin,
    /// [`sticky`].
    Sticky,
    /// [`cooperative_sticky`]. A group in which all members know only this one rebalances cooperatively.
    CooperativeSticky,
}

impl Assignor {
    /// Deals out the partitions; one share for each member.
    pub fn assign(self, topics: &[Vec<StoreId>], members: &[Subscriber<'_>]) -> Vec<Vec<StoreId>> {
        match self {
            Assignor::Range => range(topics, members),
            Assignor::RoundRobin => round_robin(topics, members),
            Assignor::Sticky => sticky(topics, members),
            Assignor::CooperativeSticky => cooperative_sticky(topics, members),
        }
    }

    /// Whether it looks at what members own.
    pub fn is_sticky(self) -> bool {
        matches!(self, Assignor::Sticky | Assignor::CooperativeSticky)
    }

    /// The strategy of a group: of those that everybody knows, the one that most prefer; where as many prefer
    /// another, the one that comes first in the first list.
    ///
    /// # Panics
    /// Panics where the lists have nothing in common: a coordinator lets nobody join then.
    pub fn choose<'a>(lists: impl Iterator<Item = &'a [Assignor]> + Clone) -> Assignor {
        let is_known = |assignor: &&Assignor| lists.clone().all(|list| list.contains(assignor));
        let votes = |assignor: Assignor| {
            lists.clone().filter(|list| list.iter().find(|own| is_known(own)) == Some(&assignor)).count()
        };
        let first = lists.clone().next().expect("a group has members");
        let candidates = first.iter().filter(is_known).rev();
        *candidates.max_by_key(|assignor| votes(**assignor)).expect("members know a strategy in common")
    }
}

/// The strategies of a coordinator in the newer protocol (`group.consumer.assignors`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServerAssignor {
    /// [`uniform`].
    Uniform,
    /// [`range`].
    Range,
}

impl ServerAssignor {
    /// Deals out the partitions; one share for each member.
    pub fn assign(self, topics: &[Vec<StoreId>], members: &[Subscriber<'_>]) -> Vec<Vec<StoreId>> {
        match self {
            ServerAssignor::Uniform => uniform(topics, members),
            ServerAssignor::Range => range(topics, members),
        }
    }
}

/// A member as assignors see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subscriber<'a> {
    /// Its member id.
    pub id: &'a str,
    /// The id that it keeps through restarts, if it is a static member (`group.instance.id`).
    pub instance: Option<&'a str>,
    /// The topics that it reads, as indices.
    pub topics: &'a [usize],
    /// What it says that it owns.
    pub owned: &'a [StoreId],
    /// The generation in which it got that; none if it has never been in one.
    pub generation: Option<u32>,
}

impl Subscriber<'_> {
    /// What members are ordered by: static ones first, by the bytes of their instance ids; the others by those of
    /// their member ids.
    fn rank(&self) -> (bool, &str) {
        (self.instance.is_none(), self.instance.unwrap_or(self.id))
    }
}

/// The indices of members in the order in which range and round robin serve them.
fn in_order(members: &[Subscriber<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|index| members[*index].rank());
    order
}

/// The indices of members in the order of their member ids, which is all that sticky assignors look at.
fn by_id(members: &[Subscriber<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|index| members[*index].id);
    order
}

/// A partition among those of all topics, numbered topic by topic.
#[derive(Clone, Copy)]
struct Place {
    store: StoreId,
    topic: usize,
    /// Its number in its topic.
    number: usize,
}

/// All partitions, and who was the last to own each.
struct Claims {
    places: Vec<Place>,
    /// For each partition the member that may keep it.
    owner: Vec<Option<usize>>,
    /// Claimed by two members of the same generation, so that it cannot be known who reads it.
    contested: Vec<bool>,
    /// Stores in ascending order, each with its index in `places`.
    index: Vec<(StoreId, usize)>,
}

impl Claims {
    /// Weighs what members say: the claim of the latest generation counts; two of the same generation count as none.
    /// What belongs to no topic does not count.
    fn new(topics: &[Vec<StoreId>], members: &[Subscriber<'_>]) -> Claims {
        let partitions = |(topic, stores): (usize, &'_ Vec<StoreId>)| -> Vec<Place> {
            stores.iter().enumerate().map(|(number, store)| Place { store: *store, topic, number }).collect()
        };
        let places: Vec<Place> = topics.iter().enumerate().flat_map(partitions).collect();
        let mut index: Vec<(StoreId, usize)> = places.iter().enumerate().map(|(at, place)| (place.store, at)).collect();
        index.sort_unstable();
        let count = places.len();
        let mut claims = Claims { places, owner: vec![None; count], contested: vec![false; count], index };
        for (member, subscriber) in members.iter().enumerate() {
            for at in subscriber.owned.iter().filter_map(|store| claims.find(*store)).collect::<Vec<_>>() {
                let generation = |member: usize| members[member].generation;
                match claims.owner[at] {
                    Some(other) if generation(other) > subscriber.generation => {}
                    Some(other) if generation(other) == subscriber.generation => claims.contested[at] = true,
                    _ => (claims.owner[at], claims.contested[at]) = (Some(member), false),
                }
            }
        }
        for (owner, contested) in claims.owner.iter_mut().zip(&claims.contested) {
            owner.take_if(|_| *contested);
        }
        claims
    }

    fn find(&self, store: StoreId) -> Option<usize> {
        let at = self.index.binary_search_by_key(&store, |(store, _)| *store).ok()?;
        Some(self.index[at].1)
    }

    /// What each member may keep, in the order of the partitions.
    fn owned(&self, members: usize) -> Vec<Vec<usize>> {
        let mut owned = vec![Vec::new(); members];
        for (at, owner) in self.owner.iter().enumerate() {
            if let Some(owner) = owner {
                owned[*owner].push(at);
            }
        }
        owned
    }

    /// The answer of an assignor.
    fn stores(&self, shares: Vec<Vec<usize>>) -> Vec<Vec<StoreId>> {
        shares.iter().map(|share| share.iter().map(|at| self.places[*at].store).collect()).collect()
    }
}

/// True where all members read the same topics.
fn same_subscriptions(members: &[Subscriber<'_>]) -> bool {
    let sorted = |member: &Subscriber<'_>| {
        let mut topics = member.topics.to_vec();
        topics.sort_unstable();
        topics
    };
    let Some((first, others)) = members.split_first() else { return true };
    let first = sorted(first);
    others.iter().all(|other| sorted(other) == first)
}

/// The numbers of a group in which everybody reads everything.
#[derive(Clone, Copy, Debug)]
struct Quota {
    /// What each member gets at least.
    least: usize,
    /// How many of them get one more.
    more: usize,
}

impl Quota {
    fn new(partitions: usize, members: usize) -> Quota {
        Quota { least: partitions / members, more: partitions % members }
    }
}
