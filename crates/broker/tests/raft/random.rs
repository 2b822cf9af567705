//! Random histories. A failure prints the seed of the one it was found in.

use brokerlab_broker::log::Crash;
use brokerlab_broker::raft::Member;
use brokerlab_event::Generator;

use crate::world::{Spoil, World, boasts, commits_early, confirms_early, hides_its_loss, node, votes_twice};

/// A group lives through many small things in no order, and then has time to recover.
fn live(seed: u64, spoil: Option<Spoil>) -> World {
    let mut chance = Generator::new(seed, "history");
    let size = [1, 2, 3, 3, 3, 4, 5][chance.below(7) as usize];
    let mut world = World::new(size, seed);
    world.spoil = spoil;
    let pick = |chance: &mut Generator| chance.below(size as u64) as usize;
    for step in 0..1000 {
        match chance.below(100) {
            0..40 => {
                let full = world.links.iter().filter(|(_, queue)| !queue.is_empty());
                let full: Vec<_> = full.map(|(link, _)| *link).collect();
                if !full.is_empty() {
                    let (from, to) = full[chance.below(full.len() as u64) as usize];
                    world.deliver(from, to);
                }
            }
            40..58 => world.write(pick(&mut chance)),
            58..68 => world.submit(pick(&mut chance), step),
            68..84 => {
                world.wait();
            }
            84..86 => {
                // Who is alone and loses its disk has lost everything.
                let kind = match chance.below(12) {
                    0..5 => Crash::Process,
                    11 if size > 1 => Crash::Disk,
                    _ => Crash::Power,
                };
                world.crash(pick(&mut chance), kind);
            }
            86..91 => world.restart(pick(&mut chance)),
            91..93 => world.part(pick(&mut chance), pick(&mut chance)),
            93..95 => {
                if let Some(pair) = world.broken.first().copied() {
                    world.heal(pair);
                }
            }
            95..97 => {
                let (one, other) = (pick(&mut chance), pick(&mut chance));
                world.call(one, |member, now, _| member.suspected(now, node(other)));
            }
            97..98 => {
                let (one, other) = (pick(&mut chance), pick(&mut chance));
                if one != other && world.is_connected(one, other) {
                    world.call(one, |member, _, out| member.heard_again(node(other), out));
                }
            }
            _ => world.settle(),
        }
    }
    if spoil.is_none() {
        world.assert_recovers();
    }
    world
}

fn first_failure(seeds: std::ops::Range<u64>, spoil: Spoil) -> Option<u64> {
    let fails = |seed: &u64| std::panic::catch_unwind(|| live(*seed, Some(spoil))).is_err();
    seeds.into_iter().find(fails)
}

#[test]
fn whatever_happens_all_agree_and_the_group_recovers() {
    let seeds = match std::env::var("RAFT_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("RAFT_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..2000,
    };
    let (mut commands, mut terms) = (0, 0);
    for seed in seeds.clone() {
        let world = std::panic::catch_unwind(|| live(seed, None)).unwrap_or_else(|panic| {
            eprintln!("again with: RAFT_SEED={seed} cargo test -p brokerlab-broker --test raft whatever");
            std::panic::resume_unwind(panic)
        });
        let leader =
            world.leader().map(|leader| (world.memory(leader).len(), world.up(leader).map_or(0, Member::term)));
        let (remembered, term) = leader.unwrap_or_default();
        (commands, terms) = (commands + remembered, terms + term as usize);
    }
    // Histories in which nothing happens would prove nothing.
    let count = seeds.count();
    assert!(count < 2 || (commands > 10 * count && terms > 3 * count), "{commands} commands and {terms} terms");
}

#[test]
fn whoever_breaks_a_rule_is_found_out() {
    let saboteurs: [(&str, Spoil); 5] = [
        ("boasts", boasts),
        ("votes twice", votes_twice),
        ("confirms early", confirms_early),
        ("hides its loss", hides_its_loss),
        ("commits early", commits_early),
    ];
    for (name, spoil) in saboteurs {
        let seed = first_failure(0..2000, spoil);
        assert!(seed.is_some(), "somebody who {name} goes unnoticed");
        eprintln!("somebody who {name} is found with seed {seed:?}");
    }
}
