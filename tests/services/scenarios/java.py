# SPDX-License-Identifier: Apache-2.0
"""java: threads, collections, exceptions, null checks by SIGSEGV and a shutdown hook on SIGTERM."""
import signal

TARGET, NEEDS = "java", ["java"]

WORK = r"""
import java.util.*;
import java.util.concurrent.*;
public class Work {
  static long burn(int n) { long s = 0; Map<Integer, String> m = new HashMap<>();
    for (int i = 0; i < n; i++) { m.put(i & 4095, "v" + i); s += m.get(i & 4095).hashCode(); } return s; }
  static int nulls() { int caught = 0; int[] a = null;
    for (int i = 0; i < 20000; i++) try { caught += a.length; } catch (NullPointerException e) { caught++; } return caught; }
  static int deep(int n) { return deep(n + 1) + 1; }
  public static void main(String[] x) throws Exception {
    Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
    ExecutorService pool = Executors.newFixedThreadPool(3);
    List<Future<Long>> all = new ArrayList<>();
    for (int i = 0; i < 6; i++) all.add(pool.submit(() -> burn(1000000)));
    for (Future<Long> f : all) System.out.println(f.get());
    System.out.println(nulls());
    try { deep(0); } catch (StackOverflowError e) { System.out.println("overflow caught"); }
    pool.shutdown();
    System.out.println("ready"); System.out.flush();
    for (;;) burn(200000);
  }
}
"""


def run(lab):
    process = lab.start(["java", "-Xmx256m", "-XX:+PreserveFramePointer", lab.write("Work.java", WORK)])
    lab.note(f"ready {lab.wait_for(lambda: 'ready' in lab.log('java'), 60)}")
    lab.profile(seconds=3, unexplained=0.05)
    lab.end(process, signal.SIGTERM)
    lab.note(lab.log("java"))
