//! Every shortcut, once: what it does, and what the help says of it.

use eframe::egui::{Context, Key, KeyboardShortcut, Modifiers};

/// What a key asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Play or stand still.
    Toggle,
    /// Back, or forth, by so many tenths of a second.
    Shift(i32),
    /// Back by an event.
    StepBack,
    /// Forth by an event.
    Step,
    /// To the start.
    Start,
    /// To the end.
    End,
    /// To a time that is asked for.
    GoTo,
    /// Hold the crosshair, or let it go.
    Pin,
    /// To what stood out before.
    PreviousNotable,
    /// To what stands out next.
    NextNotable,
    /// Slower.
    Slower,
    /// Faster.
    Faster,
    /// Kill who is selected, or restore him.
    Kill,
    /// Kill the broker, or start it again.
    KillBroker,
    /// Slow who is selected, or speed him up.
    Slow,
    /// Pause who is selected, or have him resume.
    Pause,
    /// Cut off who is selected, or reconnect him.
    CutOff,
    /// Take the last edit back.
    Undo,
    /// Make it again.
    Redo,
    /// Light or dark.
    Theme,
    /// Show or hide the panel.
    Panel,
    /// Full screen, or not.
    FullScreen,
    /// Open a scenario.
    Open,
    /// Save the scenario.
    Save,
    /// Write files.
    Export,
    /// Write them at once, as they were written last.
    ExportNow,
    /// Close the window.
    Quit,
    /// Help.
    Help,
    /// Close what is open, or let go of what is selected.
    Escape,
}

/// A shortcut, and what the help says of it.
pub struct Shortcut {
    /// What it asks for.
    pub command: Command,
    /// The keys.
    pub keys: KeyboardShortcut,
    /// What it does, in words.
    pub does: &'static str,
}

const fn key(command: Command, key: Key, does: &'static str) -> Shortcut {
    Shortcut { command, keys: KeyboardShortcut::new(Modifiers::NONE, key), does }
}

const fn with(command: Command, modifiers: Modifiers, key: Key, does: &'static str) -> Shortcut {
    Shortcut { command, keys: KeyboardShortcut::new(modifiers, key), does }
}

/// Every shortcut. B and the full stop stay free: presenter remotes send them to blank the screen.
pub const SHORTCUTS: &[Shortcut] = &[
    key(Command::Toggle, Key::Space, "play, or stand still"),
    with(Command::StepBack, Modifiers::CTRL, Key::ArrowLeft, "one event back"),
    with(Command::Step, Modifiers::CTRL, Key::ArrowRight, "one event forth"),
    with(Command::Shift(-10), Modifiers::SHIFT, Key::ArrowLeft, "one second back"),
    with(Command::Shift(10), Modifiers::SHIFT, Key::ArrowRight, "one second forth"),
    key(Command::Shift(-1), Key::ArrowLeft, "a tenth of a second back"),
    key(Command::Shift(1), Key::ArrowRight, "a tenth of a second forth"),
    key(Command::Start, Key::Home, "to the start"),
    key(Command::End, Key::End, "to the end"),
    key(Command::GoTo, Key::G, "to a time that is asked for"),
    key(Command::Pin, Key::Enter, "hold the crosshair of the plots, or let it go"),
    key(Command::PreviousNotable, Key::Comma, "to the fault or anomaly before"),
    key(Command::NextNotable, Key::Minus, "to the next fault or anomaly"),
    key(Command::Slower, Key::OpenBracket, "half as fast"),
    key(Command::Faster, Key::CloseBracket, "twice as fast"),
    key(Command::Kill, Key::K, "kill who is selected, or restore him"),
    key(Command::KillBroker, Key::X, "kill the broker, or start it again"),
    key(Command::Slow, Key::S, "slow who is selected, or speed him up"),
    key(Command::Pause, Key::P, "pause who is selected, or have him resume"),
    key(Command::CutOff, Key::N, "cut off who is selected, or reconnect him"),
    with(Command::Undo, Modifiers::COMMAND, Key::Z, "take the last change back"),
    with(Command::Redo, Modifiers::COMMAND, Key::Y, "make it again"),
    key(Command::Theme, Key::T, "light or dark"),
    key(Command::Panel, Key::F9, "show or hide the panel at the side"),
    key(Command::FullScreen, Key::F11, "full screen, or not"),
    with(Command::Open, Modifiers::COMMAND, Key::O, "open a scenario"),
    with(Command::Save, Modifiers::COMMAND, Key::S, "save the scenario with its pokes"),
    with(Command::ExportNow, Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::E, "export at once, without asking"),
    with(Command::Export, Modifiers::COMMAND, Key::E, "export plots, tables and pictures"),
    with(Command::Quit, Modifiers::COMMAND, Key::Q, "close the window"),
    key(Command::Help, Key::Questionmark, "this help"),
    key(Command::Help, Key::F1, "this help"),
    key(Command::Escape, Key::Escape, "close what is open"),
];

/// The commands that keys ask for since the last frame. Keys without Ctrl mean nothing while a text is written.
pub fn pressed(ctx: &Context) -> Vec<Command> {
    let writing = ctx.text_edit_focused();
    let mut commands = Vec::new();
    for shortcut in SHORTCUTS {
        let is_plain = !shortcut.keys.modifiers.ctrl && !shortcut.keys.modifiers.command;
        if writing && is_plain && shortcut.command != Command::Escape {
            continue;
        }
        // An arrow belongs to a slider that has the focus.
        let arrow = matches!(shortcut.keys.logical_key, Key::ArrowLeft | Key::ArrowRight);
        if arrow && is_plain && ctx.memory(|memory| memory.focused().is_some()) {
            continue;
        }
        // Enter belongs to whatever has the focus.
        if shortcut.command == Command::Pin && ctx.memory(|memory| memory.focused().is_some()) {
            continue;
        }
        // A question mark is typed with Shift on many keyboards, and without on others.
        let taken = ctx.input_mut(|input| match shortcut.keys.logical_key {
            Key::Questionmark => {
                input.consume_key(Modifiers::SHIFT, Key::Questionmark)
                    || input.consume_key(Modifiers::NONE, Key::Questionmark)
            }
            _ => input.consume_shortcut(&shortcut.keys),
        });
        if taken {
            commands.push(shortcut.command);
        }
    }
    commands
}
