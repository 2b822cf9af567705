//! Groups of Raft members: told stories, and random histories in which what must never happen is looked for all the time.

mod random;
mod stories;
mod world;
