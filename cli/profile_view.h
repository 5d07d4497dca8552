// SPDX-License-Identifier: Apache-2.0
// One profile, one sample type of it, one question: rows, tree, threads, heaviest stack. What every
// verb shows of a profile comes from here. Plain data, one thread. Memory: the profile, and one row
// a distinct name or one node a distinct path while a table or a tree is made.
//
// How a verb uses it (cpu.cc is the model):
//
//   ReportOptions report;                          // in the verb's options
//   AddReportOptions(verb, &report);               // --top --tree --by --focus --ignore -o -f
//   --json … pprof::Profile profile = ReadProfile(bytes);   // throws what is wrong with them const
//   ValueChoice value = ChooseValue(profile, "inuse_space"); const ProfileView
//   view(std::move(profile), report.question, value); if (ExportReport(view, report, title)) return
//   ExitCode::kClean;    // cli/export.h RenderReport(std::cout, TerminalOf(STDOUT_FILENO), view);
//   // cli/render_report.h ReportToJson(view)                                             // the
//   same as JSON
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "profile/pprof.h"
#include "profile/report.h"

namespace sonde::cli {

struct ReportQuestion {
  std::string by = "function";  // one of kGroupings
  std::string focus;            // regular expressions over function, file and binary
  std::string ignore;
  size_t top = 0;     // rows, or lines of the tree; 0: what suits
  bool tree = false;  // the call tree instead of a table
  int only_pid = 0;   // 0: every process of the profile
};

inline const std::vector<std::string> kGroupings = {"function", "line", "module", "thread"};

// Which value of a sample counts, and in what unit it is shown.
struct ValueChoice {
  uint32_t index = 0;  // into the sample's values
  std::string type;    // "cpu", "inuse_space"
  std::string unit;    // "nanoseconds", "bytes", "count", as pprof calls them
  double scale = 1;    // one of the sample's values is so many of `unit`
};

// Throws CliError when there is no such type; empty: the profile's own default.
ValueChoice ChooseValue(const pprof::Profile& profile, const std::string& type);
// CPU time in nanoseconds, also from profiles that only count samples.
ValueChoice ChooseCpuValue(const pprof::Profile& profile);

// Throws CliError: not a profile.
pprof::Profile ReadProfile(std::string_view bytes);

struct ReportRow {
  std::string name;
  std::string place;   // "session.cc:88" or "session.cc"; empty: unknown
  std::string module;  // path of its binary; empty: none
  double flat = 0;
  double cumulative = 0;
};

struct ReportThread {
  std::string name;
  int64_t tid = 0;  // 0: the profile does not say
  int64_t pid = 0;
  double value = 0;
};

struct ReportStack {
  std::vector<std::string> frames;  // leaf first
  double value = 0;
};

struct ReportLoss {
  std::string name;  // "[signal blocked]"
  double value = 0;
};

class ProfileView {
 public:
  // Throws CliError: a bad regular expression.
  ProfileView(pprof::Profile profile, const ReportQuestion& question, ValueChoice value);

  const ReportQuestion& question() const { return question_; }
  const ValueChoice& value() const { return value_; }
  // What the question leaves of it; samples that it drops are gone.
  const pprof::Profile& profile() const { return profile_; }

  double total() const { return total_; }      // of the asked process, before focus and ignore
  double samples() const { return samples_; }  // as counted, of the same
  double shown() const { return shown_; }      // after focus and ignore
  double lost() const { return lost_; }        // under frames that stand for a loss
  const std::vector<ReportLoss>& losses() const { return losses_; }
  const std::vector<ReportThread>& threads() const { return threads_; }  // heaviest first

  std::vector<ReportRow> Rows() const;  // heaviest first, all of them
  pprof::CallTree Tree() const;         // by thread: threads are the outermost frames
  ReportStack Heaviest() const;
  std::vector<std::string> comments() const;

  // Seen by exporters: frames of a location, innermost first.
  struct Frame {
    std::string name;
    std::string file;
    int64_t line = 0;
  };
  std::vector<Frame> FramesOf(const pprof::Location& location) const;
  double ValueOf(const pprof::Sample& sample) const;
  // "worker (tid 70)", empty when the profile does not say.
  std::string ThreadOf(const pprof::Sample& sample) const;

 private:
  void KeepAskedProcess();
  void AddTotals();
  void AddThreads();
  void MarkThreads();
  pprof::ReportOptions Grouping() const;
  std::string LeafName(const pprof::Sample& sample) const;

  pprof::Profile profile_;
  ReportQuestion question_;
  ValueChoice value_;
  double total_ = 0;
  double samples_ = 0;
  double shown_ = 0;
  double lost_ = 0;
  std::vector<ReportLoss> losses_;
  std::vector<ReportThread> threads_;
};

// "session.cc:88", without the directories; "" when unknown.
std::string PlaceOf(const std::string& file, int64_t line);

}  // namespace sonde::cli
