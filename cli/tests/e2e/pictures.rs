//! The plots: well-formed SVG, the same bytes every time, lanes and labels that can be read.

use std::fs;

use super::support::{code, file, kreplay, python_script, recording, text};

fn plot(args: &[&str], name: &str) -> Vec<u8> {
    let path = file(name);
    let mut line = vec!["plot"];
    line.extend(args);
    line.extend(["-o", text(&path)]);
    kreplay(line).expect(code::DONE);
    fs::read(path).unwrap()
}

#[test]
fn pictures_are_the_same_bytes_every_time_and_can_be_read() {
    for cpus in [2, 8] {
        let krec = recording(cpus);
        for kind in [
            "timeline",
            "migration",
            "matrix",
            "latency",
            "boot",
            "stop-machine",
        ] {
            let name = format!("{kind}-{cpus}.svg");
            let first = plot(&[kind, text(&krec)], &name);
            let second = plot(&[kind, text(&krec)], &format!("{kind}-{cpus}-again.svg"));
            assert!(first == second, "{kind} at {cpus} CPUs");
            // The same picture as pixels, with our own font and none of the host's.
            let pixels = plot(&[kind, text(&krec)], &format!("{kind}-{cpus}.png"));
            let again = plot(&[kind, text(&krec)], &format!("{kind}-{cpus}-again.png"));
            assert!(pixels == again, "{kind} as PNG at {cpus} CPUs");
            assert!(pixels.starts_with(b"\x89PNG\r\n\x1a\n") && pixels.len() > 10_000);
            // An XML parser that is not ours: well-formed, labels apart, lanes high enough.
            python_script(
                "svg_check.py",
                &[text(&file(&name)), kind, &cpus.to_string()],
            );
        }
    }
}

#[test]
fn a_window_shows_that_window() {
    let krec = recording(2);
    let all = plot(
        &["timeline", text(&krec), "--from", "boot", "--to", "end"],
        "all.svg",
    );
    let some = plot(
        &["timeline", text(&krec), "--from", "20ms", "--to", "21.5ms"],
        "some.svg",
    );
    assert!(all != some);
    plot(
        &["timeline", text(&krec), "--from", "@1000", "--to", "@1500"],
        "events.svg",
    );
    for (from, to, part) in [
        ("2ms", "1ms", "1ms"),
        ("@99999999", "end", "@99999999"),
        ("9000s", "end", "9000s"),
    ] {
        kreplay([
            "plot",
            "timeline",
            text(&krec),
            "--from",
            from,
            "--to",
            to,
            "-o",
            "never.svg",
        ])
        .expect(code::BAD_INPUT)
        .complains(&[part]);
    }
}

#[test]
fn a_picture_is_svg_or_png() {
    let krec = recording(2);
    for name in ["picture.pdf", "picture"] {
        kreplay(["plot", "matrix", text(&krec), "-o", name])
            .expect(code::BAD_INPUT)
            .complains(&[name, ".svg", ".png"]);
    }
    for of in ["migration", "stopper"] {
        let of = ["latency", text(&krec), "--of", of];
        assert!(plot(&of, "of.svg").starts_with(b"<svg"));
    }
    kreplay(["plot", "stop-machine", text(&krec), "--at", "@0"])
        .expect(code::BAD_INPUT)
        .complains(&["@0", "first is event @"]);
}
