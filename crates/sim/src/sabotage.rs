//! Somebody who spoils messages on their way, so that judges can be shown to notice.

use brokerlab_broker::{Address, Message};
use brokerlab_event::Generator;

use crate::simulation::Simulation;

/// Changes a message that is about to arrive, or says with `false` that it does not arrive at all. What happens now
/// and then only is up to the generator.
pub type Spoil = fn(&mut Generator, from: Address, to: Address, message: &mut Message<()>) -> bool;

/// Whoever spoils the messages of a simulation.
#[derive(Clone, Debug)]
pub(crate) struct Saboteur {
    spoil: Spoil,
    chance: Generator,
}

impl Saboteur {
    pub fn lets_through(&mut self, from: Address, to: Address, message: &mut Message<()>) -> bool {
        (self.spoil)(&mut self.chance, from, to, message)
    }
}

impl Simulation {
    /// From now on every message is spoilt on its way to a client, a node or the controller.
    pub fn sabotage(&mut self, spoil: Spoil) {
        self.saboteur = Some(Saboteur { spoil, chance: Generator::new(1, "sabotage") });
    }
}
