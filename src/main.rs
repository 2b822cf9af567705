//! The `brokerlab` command. Everything it does lives in `brokerlab-cli`.

fn main() -> std::process::ExitCode {
    brokerlab_cli::main()
}
