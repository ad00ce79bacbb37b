//! Model checking of the refresh protocol: the machines that ship, driven by
//! several processes over one state folder, one store and one server, in every
//! order, with a crash at every step.
//!
//! `cargo test -p vault-model -- --nocapture` prints what was explored.
//! `VAULT_MODEL_DEPTH=2` explores more, and takes longer.

mod configuration;
mod ending;
mod installing;
mod process;
mod properties;
mod refreshing;
mod report;
mod runs;
mod sabotage;
mod sabotages;
mod step;
mod world;

use configuration::Configuration;
use stateright::Property;
use step::Action;
use world::World;

/// One configuration, as the checker wants it.
#[derive(Clone, Debug)]
pub(crate) struct Model(pub(crate) Configuration);

impl stateright::Model for Model {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        self.0.worlds()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        // One broken rule is enough.
        if world.witness.broken == 0 {
            world.actions(&self.0, actions);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        Some(world.after(action, &self.0).sorted())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::properties(&self.0)
    }
}
