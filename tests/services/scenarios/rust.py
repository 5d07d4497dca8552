# SPDX-License-Identifier: Apache-2.0
"""A Rust program: threads, channels, a panic that is caught and one that ends the program; its memory is known."""
TARGET, NEEDS = "work-rs", ["rustc"]

HELD_MIB = 48
WORK = r"""
use std::collections::HashMap;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

#[inline(never)]
fn keep_blocks(n: usize) -> Vec<Vec<u8>> { (0..n).map(|i| vec![i as u8; 16384]).collect() }

#[inline(never)]
fn count_words(end: Instant) -> usize {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut i = 0usize;
    while Instant::now() < end { for _ in 0..500 { i += 1; *seen.entry(format!("w{}", i % 5000)).or_insert(0) += 1; } }
    seen.len()
}

fn main() {
    let seconds: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    thread::sleep(Duration::from_secs(2)); // what is allocated before the agent is up is unknown to it
    let kept = keep_blocks(HELD * 64);
    println!("ready {}", kept.len());
    let (tx, rx) = mpsc::channel();
    let end = Instant::now() + Duration::from_secs(seconds);
    for _ in 0..3 { let tx = tx.clone(); thread::Builder::new().name("counter".into())
        .spawn(move || tx.send(count_words(end)).unwrap()).unwrap(); }
    drop(tx);
    for n in rx { println!("{}", n); }
    let caught = std::panic::catch_unwind(|| { let v: Vec<i32> = vec![]; let i = v.len(); v[i] });
    println!("caught {}", caught.is_err());
    println!("joined {}", thread::spawn(|| panic!("in a thread")).join().is_err());
    let slept = Instant::now(); thread::sleep(Duration::from_millis(50)); println!("{}", slept.elapsed().as_millis() >= 50);
    std::process::exit((kept[9][0] as i32) + 4);
}
"""


def run(lab):
    built = lab.run(["rustc", "-O", "-o", lab.path("work-rs"), lab.write("work.rs", WORK.replace("HELD", str(HELD_MIB)))],
                    timeout=300)
    lab.note(f"built {built.returncode} {built.stderr}")
    process = lab.start([lab.path("work-rs"), "8"])
    lab.wait_for(lambda: "ready" in lab.log("work-rs"))
    lab.profile(holders={"keep_blocks|main": (0.7 * HELD_MIB * 2**20, 1.4 * HELD_MIB * 2**20)}, unexplained=0.05)
    lab.note(f"ended with {process.wait(60)}")
    lab.note(lab.log("work-rs").replace(lab.directory, ""))
