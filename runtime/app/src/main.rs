//! The binary `penstock`.

fn main() -> std::process::ExitCode {
    penstock::cli::main()
}
