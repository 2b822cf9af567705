//! What stands once per run: names, topology, key bytes, faults and the promises of the configuration.

use crate::{ApplicationId, ClientId, KeyId, KindLaw, MessageId, Party, StoreId, Time};

/// What broker nodes are called in scenarios and tables: `broker/1`, `broker/2`, ...
pub const BROKER: &str = "broker";

/// The shape of a contender.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Model {
    /// A point-to-point queue with competing consumers.
    Queue,
    /// A queue for each application, bound to one exchange.
    Fanout,
    /// Hands each message to whoever is connected and stores nothing.
    Broadcast,
    /// A partitioned log with a consumer group for each application.
    Log,
    /// A partitioned log from which the consumers of an application share the records as they would a queue.
    ShareGroup,
    /// A log in a queue broker: a stream, or several behind a hash of the key.
    Stream,
}

impl Model {
    /// Every model.
    pub const ALL: [Model; 6] =
        [Model::Queue, Model::Fanout, Model::Broadcast, Model::Log, Model::ShareGroup, Model::Stream];

    /// The name used in scenario files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Model::Queue => "queue",
            Model::Fanout => "fanout",
            Model::Broadcast => "broadcast",
            Model::Log => "log",
            Model::ShareGroup => "share-group",
            Model::Stream => "stream",
        }
    }
}

/// An application of the demand: somebody who needs (some of) the messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApplicationInfo {
    /// Its name in the scenario.
    pub name: String,
    /// Whether it needs the messages of each kind, by the index of the kind. `None`: it needs all messages.
    pub wants: Option<Vec<bool>>,
}

impl ApplicationInfo {
    /// An application that needs all messages.
    pub fn new(name: impl Into<String>) -> ApplicationInfo {
        ApplicationInfo { name: name.into(), wants: None }
    }
}

/// The kinds of messages. The default is one kind without a name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Kinds {
    /// Their names in the order of the scenario; empty where it names none, and then there is one kind.
    pub names: Vec<String>,
    /// Which message is of which kind.
    pub law: KindLaw,
}

/// What a client does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientRole {
    /// Sends messages.
    Producer,
    /// Processes messages on behalf of this application.
    Consumer(ApplicationId),
}

/// A client of the broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientInfo {
    /// `producer/1`, or the application's name and a number from 1: `billing/2`.
    pub name: String,
    /// What it does.
    pub role: ClientRole,
}

/// What a store is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// A queue: a message is deleted once it is settled.
    Queue,
    /// Partition number `index` of a log: a message is kept by policy.
    Partition {
        /// Its number, from 0.
        index: u32,
    },
}

/// A queue or a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreInfo {
    /// Its name, such as `work` or `events-3`.
    pub name: String,
    /// What it is.
    pub kind: StoreKind,
    /// The applications that it serves. A queue that several share gives each message to one of them only.
    pub applications: Vec<ApplicationId>,
    /// It is not there when the run begins: an event tells when it is added.
    pub comes_later: bool,
}

/// A fault of the scenario, before it is known whom it hits in this contender.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FaultInfo {
    /// What happens, in words: `crash billing/2`.
    pub name: String,
    /// When it begins.
    pub start: Time,
    /// When it ends by itself, if it does.
    pub end: Option<Time>,
}

/// Something that a configuration may promise about every message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Guarantee {
    /// Every confirmed message is processed by the application or is still to be had.
    Delivery,
    /// No message is processed more than once by the application.
    NoDuplicates,
    /// Messages of one key are processed in the order in which they were to be sent.
    KeyOrder,
}

impl Guarantee {
    /// Every guarantee, in the order of reports.
    pub const ALL: [Guarantee; 3] = [Guarantee::Delivery, Guarantee::NoDuplicates, Guarantee::KeyOrder];

    /// The name used in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Guarantee::Delivery => "delivery",
            Guarantee::NoDuplicates => "no-duplicates",
            Guarantee::KeyOrder => "key-order",
        }
    }
}

/// What this configuration promises, for one application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Promise {
    /// The guarantee.
    pub guarantee: Guarantee,
    /// For whom.
    pub application: ApplicationId,
    /// The reasons for which this configuration allows a break, each a clause such as `competing consumers
    /// overtake each other`. Empty: it must hold.
    pub allowed: Vec<String>,
}

/// The bytes behind every [`KeyId`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyTable {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl KeyTable {
    /// Adds a key and returns its id. Does not look whether it is there already.
    ///
    /// # Panics
    /// Panics past 4 GiB of key bytes, which scenarios refuse beforehand.
    pub fn push(&mut self, key: &[u8]) -> KeyId {
        self.bytes.extend_from_slice(key);
        self.ends.push(u32::try_from(self.bytes.len()).expect("validated: the key table stays below 4 GiB"));
        KeyId::new((self.ends.len() - 1) as u32)
    }

    /// The bytes of a key.
    pub fn bytes(&self, key: KeyId) -> &[u8] {
        let index = key.index();
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.bytes[start..self.ends[index] as usize]
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True where there are none: no message has a key.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// Everything about a run that is known before it starts. Events refer to it by index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunHeader {
    /// Title of the scenario.
    pub title: String,
    /// Name of the contender.
    pub contender: String,
    /// The shape of the contender.
    pub model: Model,
    /// The seed.
    pub seed: u64,
    /// Digest of the demand: the same for every contender and every fault schedule of a scenario.
    pub demand_digest: u64,
    /// When the run ends.
    pub horizon: Time,
    /// What happens before this moment is left out of latency and throughput figures (never out of fates).
    pub warm_up: Time,
    /// The kinds of messages.
    pub kinds: Kinds,
    /// Who needs the messages.
    pub applications: Vec<ApplicationInfo>,
    /// Producers first, then the consumers of each application in turn.
    pub clients: Vec<ClientInfo>,
    /// Queues or partitions.
    pub stores: Vec<StoreInfo>,
    /// The faults, in the order of the scenario.
    pub faults: Vec<FaultInfo>,
    /// Key bytes.
    pub keys: KeyTable,
    /// One for each guarantee and application.
    pub promises: Vec<Promise>,
}

impl RunHeader {
    /// The application that a consumer works for; nothing for producers.
    pub fn application_of(&self, client: ClientId) -> Option<ApplicationId> {
        match self.clients[client.index()].role {
            ClientRole::Consumer(application) => Some(application),
            ClientRole::Producer => None,
        }
    }

    /// Whether an application needs a message.
    #[inline]
    pub fn wants(&self, application: ApplicationId, message: MessageId) -> bool {
        match &self.applications[application.index()].wants {
            None => true,
            Some(wanted) => wanted[usize::from(self.kinds.law.of(message))],
        }
    }

    /// The name of whom a fault hits: `billing/2`, `broker/1`.
    pub fn party(&self, party: Party) -> String {
        match party {
            Party::Client(client) => self.clients[client.index()].name.clone(),
            Party::Node(node) => format!("{BROKER}/{}", node.get() + 1),
        }
    }

    /// True where every application needs every message, so that nobody has to ask of each.
    pub fn all_want_everything(&self) -> bool {
        self.applications.iter().all(|application| application.wants.is_none())
    }

    /// The applications that a store serves.
    pub fn served_by(&self, store: StoreId) -> &[ApplicationId] {
        &self.stores[store.index()].applications
    }

    /// The consumers of an application.
    pub fn consumers_of(&self, application: ApplicationId) -> impl Iterator<Item = ClientId> + '_ {
        let wanted = ClientRole::Consumer(application);
        self.clients.iter().enumerate().filter(move |(_, c)| c.role == wanted).map(|(i, _)| ClientId::new(i as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stream;

    #[test]
    fn an_application_wants_the_kinds_that_it_names_and_all_if_it_names_none() {
        let kinds = ["order", "refund"].map(String::from).into();
        let picky = ApplicationInfo { wants: Some(vec![false, true]), ..ApplicationInfo::new("refunds") };
        let header = RunHeader {
            title: String::new(),
            contender: String::new(),
            model: Model::Queue,
            seed: 0,
            demand_digest: 0,
            horizon: Time::ZERO,
            warm_up: Time::ZERO,
            kinds: Kinds { names: kinds, law: KindLaw::new([1, 1], Stream::new(1, "kinds")) },
            applications: vec![ApplicationInfo::new("audit"), picky],
            clients: Vec::new(),
            stores: Vec::new(),
            faults: Vec::new(),
            keys: KeyTable::default(),
            promises: Vec::new(),
        };
        assert!(!header.all_want_everything());
        let wanted = |application| (0..100).filter(|id| header.wants(application, MessageId::new(*id))).count();
        assert_eq!(wanted(ApplicationId::new(0)), 100);
        let refunds = wanted(ApplicationId::new(1));
        assert!((30..70).contains(&refunds), "{refunds} of 100");
    }
}
