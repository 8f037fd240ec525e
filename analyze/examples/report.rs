//! Every answer of this crate about a recording, without the command line around it:
//! `cargo run -p analyze --example report -- migration boot.krec [json|csv]`.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use analyze::report::{Format, Options};
use analyze::source::Recorded;
use analyze::timeline::Window;
use analyze::{Error, diff, migration, parquet, plot, stopper, tasks, timeline};
use trace::krec::Recording;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &[String]) -> Result<(), Error> {
    let [what, file, rest @ ..] = args else {
        eprintln!(
            "usage: report migration|stopper|tasks|timeline|phases|parquet|diff FILE [FORMAT|DIR|FILE|FROM TO]"
        );
        return Ok(());
    };
    let recording = Recording::open(Path::new(file))?;
    let source = Recorded::new(&recording)?;
    let last = rest.first().map(String::as_str);
    let format = match last {
        Some("json") => Format::Json,
        Some("csv") => Format::Csv,
        _ => Format::Text,
    };
    let out = &mut io::stdout().lock();
    let options = Options::default();
    match what.as_str() {
        "migration" => migration::analyze(&source)?
            .report()
            .render(format, &options, out)?,
        "stopper" => stopper::analyze(&source)?
            .report()
            .render(format, &options, out)?,
        "tasks" => tasks::report(&source)?.render(format, &options, out)?,
        "timeline" => {
            let window = match rest {
                [from, to] => Window::Between {
                    from_ns: instant(&source, from)?,
                    to_ns: instant(&source, to)?,
                },
                _ => Window::Auto,
            };
            let timeline = timeline::analyze(&source, window)?;
            out.write_all(plot::timeline::svg(&timeline)?.as_bytes())?;
        }
        "phases" => {
            let report = migration::analyze(&source)?;
            out.write_all(plot::migration::svg(&report, 15)?.as_bytes())?;
        }
        "parquet" => {
            for path in parquet::export(&source, Path::new(last.unwrap_or("parquet")))? {
                writeln!(out, "{}", path.display())?;
            }
        }
        "diff" => {
            let other = Recording::open(Path::new(last.unwrap_or(file)))?;
            diff::compare(&source, &Recorded::new(&other)?)?.render(format, out)?;
        }
        other => eprintln!("there is no answer called {other}"),
    }
    Ok(())
}

fn instant(source: &Recorded<'_>, text: &str) -> Result<u64, Error> {
    let at = text
        .parse()
        .map_err(|_| Error::NoSuchTime(format!("{text} is not a time")))?;
    timeline::resolve(source, at)
}
