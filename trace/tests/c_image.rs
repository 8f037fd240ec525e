//! Names, types and places of a program in C, read whole and unit by unit; binutils is the witness.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use trace::event::Addr;
use trace::image::{Bits, Image, NoPlace, Shape};
use trace::place::{Place, Step};
use trace::stack::Unwinder;
use trace::target::{Register, Target, Unreadable};
use trace::value::Value;

fn run(command: &mut Command) -> String {
    let output = command.output().expect("cc and binutils are there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The program, compiled once.
fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("c-{}", std::process::id()));
        let mut cc = Command::new("cc");
        cc.args([
            "-g",
            "-gdwarf-5",
            "-O2",
            "-ffreestanding",
            "-fno-pic",
            "-no-pie",
        ]);
        cc.args(["-fno-asynchronous-unwind-tables", "-nostdlib", "-static"]);
        cc.arg("-o").arg(&out).current_dir(folder);
        run(cc.args(["first.c", "second.c"]));
        out
    })
}

fn images() -> [Image; 2] {
    let bytes = std::fs::read(program()).unwrap();
    [
        Image::parse("whole", &bytes).unwrap(),
        Image::parse_by_unit("by unit", &bytes).unwrap(),
    ]
}

/// What `nm` says of a symbol: every address it has.
fn nm(name: &str) -> Vec<u64> {
    let list = run(Command::new("nm").arg(program()));
    let mut found: Vec<u64> = list
        .lines()
        .filter_map(|line| line.split_whitespace().collect::<Vec<_>>().try_into().ok())
        .filter(|[_, _, symbol]: &[&str; 3]| *symbol == name)
        .map(|[addr, ..]| u64::from_str_radix(addr, 16).unwrap())
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn nameless_members_bit_fields_arrays_and_typedefs_have_their_places() {
    for image in images() {
        let near = image.address_of("set_cpu").unwrap();
        let types = image.types_around(near);
        let field = |path| types.field("task", path).unwrap();
        let place = |path| (field(path).offset, field(path).size, field(path).shape);
        assert_eq!(place("flags"), (0, 4, Shape::Unsigned));
        assert_eq!(place("low"), (4, 2, Shape::Signed));
        assert_eq!(place("high"), (6, 2, Shape::Signed));
        assert_eq!(place("both"), (4, 4, Shape::Unsigned));
        let bits = |path| (field(path).offset, field(path).bits);
        assert_eq!(bits("early"), (8, Some(Bits { shift: 0, width: 3 })));
        assert_eq!(bits("kind"), (8, Some(Bits { shift: 3, width: 4 })));
        assert_eq!(
            bits("wide"),
            (
                8,
                Some(Bits {
                    shift: 7,
                    width: 14
                })
            )
        );
        assert_eq!(field("wide").size, 3);
        assert_eq!(place("tasks.prev"), (24, 8, Shape::Pointer));
        assert_eq!(place("comm"), (32, 16, Shape::Bytes));
        assert_eq!(place("mask"), (48, 32, Shape::Bytes));
        assert_eq!(place("refs"), (80, 4, Shape::Signed));
        assert_eq!(place("state").0, 84);
        assert_eq!(place("name"), (88, 8, Shape::Pointer));
        assert_eq!(place("grid"), (96, 60, Shape::Bytes));
        assert_eq!(types.size_of("task").unwrap(), 160);
        assert_eq!(
            types.field("task", "refs.counter"),
            types.field("task", "refs")
        );
        assert_eq!(types.constant("state", "SLEEPING"), Ok(7));
        assert_eq!(types.constant("state", "ODD"), Ok(-2));
        // The other file has another structure of that name. An image that is read whole knows one.
        if image.name() == "by unit" {
            let other = image.types_around(image.address_of("second").unwrap());
            assert_eq!(other.field("task", "only_here").map(|f| f.offset), Ok(0));
        }
        assert_eq!(image.damage(), None);
    }
}

#[test]
fn static_functions_of_one_name_are_two() {
    for image in images() {
        let helpers = image.functions_named("helper");
        let mut found: Vec<u64> = helpers.iter().map(|f| f.low).collect();
        found.sort_unstable();
        // The compiler may have changed the arguments and then named it so.
        let mut symbols = nm("helper");
        symbols.extend(nm("helper.isra.0"));
        symbols.sort_unstable();
        assert_eq!(found, symbols, "{}", image.name());
        assert_eq!(found.len(), 2);
        let files: Vec<&str> = helpers
            .iter()
            .filter_map(|f| f.decl_file.as_deref())
            .collect();
        assert!(
            files.contains(&"first.c") && files.contains(&"second.c"),
            "{files:?}"
        );
        assert!(image.functions_named("nobody").is_empty());
    }
}

#[test]
fn the_rare_part_of_a_function_belongs_to_it() {
    let cold = nm("set_cpu.cold");
    assert_eq!(cold.len(), 1, "cc has put it elsewhere");
    for image in images() {
        let function = image.function_at(Addr(cold[0])).unwrap();
        assert_eq!(&*function.name, "set_cpu");
        assert_eq!(Some(Addr(function.low)), image.address_of("set_cpu"));
        assert_eq!(function.ranges.len(), 2);
        assert!(function.high <= cold[0] || function.low > cold[0]);
    }
}

#[test]
fn an_inlined_function_has_an_entry_and_its_parameters_places() {
    for image in images() {
        let set_cpu = image.address_of("set_cpu").unwrap();
        let entries = image.entries_of("tell_move");
        assert_eq!(entries, image.entries_around(set_cpu, "tell_move"));
        // Also once in _start, if set_cpu was inlined there: it must not have been.
        assert_eq!(entries.len(), 1, "{entries:?}");
        let at = entries[0];
        assert_eq!(image.function_at(at).map(|f| &*f.name), Some("set_cpu"));
        let task = image.variable(at, "tell_move", "task").unwrap();
        assert!(
            matches!(read(&task, 0x1234), Ok(0x1234 | 0x5678)),
            "{task:?}"
        );
        assert!(image.variable(at, "tell_move", "dest_cpu").is_ok());
        let new_cpu = image.variable(set_cpu, "set_cpu", "new_cpu").unwrap();
        assert_eq!(
            new_cpu,
            Place::new(vec![Step::InRegister(Register::Rsi)], 4, true)
        );
        assert_eq!(read(&new_cpu, 0xffff_ffff_0000_0002), Ok(2));
        let unknown = image.variable(at, "tell_move", "nothing").unwrap_err();
        assert!(matches!(unknown, NoPlace::Unknown { .. }));
        assert_eq!(
            unknown.to_string(),
            format!("tell_move at {at} has no variable nothing")
        );
        // At the entry, what is computed later is nowhere yet.
        let later = image.variable(set_cpu, "set_cpu", "bits").unwrap_err();
        assert!(matches!(later, NoPlace::OptimisedOut { .. }), "{later}");
        assert!(image.variable(Addr(1), "set_cpu", "task").is_err());
    }
}

/// Every register has this value.
struct Same(u64);

impl Target for Same {
    fn read(&self, at: Addr, _: &mut [u8]) -> Result<(), Unreadable> {
        Err(Unreadable(at))
    }

    fn register(&self, _: Register) -> u64 {
        self.0
    }
}

fn read(place: &Place, registers: u64) -> Result<u64, Unreadable> {
    place.value(&Same(registers), None)
}

#[test]
fn a_program_without_orc_tables_is_walked_by_frames() {
    let [whole, _] = images();
    assert!(matches!(whole.unwinder(), Unwinder::Frames(_)));
}

/// The bytes of `first_task`, as they are linked.
struct Linked<'a>(&'a Image);

impl Target for Linked<'_> {
    fn read(&self, at: Addr, into: &mut [u8]) -> Result<(), Unreadable> {
        let bytes = self.0.bytes_at(at, into.len()).ok_or(Unreadable(at))?;
        into.copy_from_slice(bytes);
        Ok(())
    }

    fn register(&self, _: Register) -> u64 {
        0
    }
}

#[test]
fn bit_fields_are_read_with_their_own_bits() {
    let [image, _] = images();
    let task = image.address_of("first_task").unwrap();
    let read = |path| {
        let field = image.types().field("task", path).unwrap();
        Value::of(&Linked(&image), task, field).unwrap().u64()
    };
    assert_eq!(["early", "kind", "wide"].map(read), [3, 5, 9000]);
}
