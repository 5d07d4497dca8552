// SPDX-License-Identifier: Apache-2.0
#include "cli/capture.h"

#include <stdio.h>

#include <filesystem>
#include <thread>
#include <utility>

#include "cli/interrupt.h"
#include "cli/past_options.h"
#include "cli/progress.h"
#include "profile/time_text.h"

namespace sonde::cli {
std::string ProcessOf(const nlohmann::json& status) {
  if (!status.is_object()) return "";
  const int pid = status.value("pid", 0);
  // Its command rather than its file: redis-server is a link to redis-check-rdb.
  std::string program;
  for (const auto& process : status.value("processes", nlohmann::json::array()))
    if (process.value("pid", 0) == pid) program = process.value("command", "");
  if (program.empty()) program = std::filesystem::path(status.value("executable", "")).filename();
  return "pid " + std::to_string(pid) + (program.empty() ? "" : " " + program);
}

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;

constexpr milliseconds kPatience{10'000};  // until another process of the tree has taken over
constexpr milliseconds kBetween{500};
constexpr milliseconds kClockSlack{2'000};  // starts and clocks are told in whole seconds
constexpr int kMaxQuestions = 3;
constexpr const char* kCutShort = "; cut short:";

// The times of a capture, for asking the recording about it once it is lost.
class CaptureTime {
 public:
  explicit CaptureTime(std::chrono::seconds length) : length_(length) {}

  [[nodiscard]] bool is_over() const { return steady_clock::now() >= start_ + length_; }
  [[nodiscard]] milliseconds elapsed() const {
    return std::chrono::ceil<milliseconds>(steady_clock::now() - start_);
  }
  // A remote clock may not be ours: there it is the time that has passed since then.
  [[nodiscard]] std::string Query(bool local) const {
    if (!local) return "?last=" + std::to_string(elapsed().count()) + "ms";
    const auto from_ms = std::chrono::floor<milliseconds>(start_unix_.time_since_epoch()).count();
    return "?from=" + Seconds(from_ms) + "&to=" + Seconds(from_ms + 1000 * length_.count());
  }

 private:
  static std::string Seconds(int64_t ms) {
    const std::string thousandths = std::to_string(1000 + ms % 1000);
    return std::to_string(ms / 1000) + "." + thousandths.substr(1);
  }

  const std::chrono::seconds length_;
  const steady_clock::time_point start_ = steady_clock::now();
  const system_clock::time_point start_unix_ = system_clock::now();
};

// Brings back what a capture would have shown, from the agent's recording of its time.
class Rescue {
 public:
  Rescue(Connection* connection, const CaptureTime& time, Progress* progress)
      : connection_(connection),
        time_(time),
        progress_(progress),
        lost_after_(time.elapsed()),
        last_seen_(steady_clock::now()) {}

  // Empty: nobody answers any more, or the recording has nothing of that time; see problem().
  std::string Run() {
    while (problem_.empty()) {
      if (!connected_) Connect();
      if (connected_ && time_.is_over()) {
        if (std::string profile = Ask(); !profile.empty()) return profile;
      }
      if (problem_.empty()) Pause();
    }
    return "";
  }
  const std::string& problem() const { return problem_; }

  std::string Note(const std::string& why) const {
    char text[64];
    snprintf(text, sizeof text, "%.1f s into the capture ",
             std::chrono::duration<double>(lost_after_).count());
    return text + why + "; this is the agent's recording of that time, in whole steps";
  }

 private:
  void Connect() {
    connected_ = connection_->TryAgain();
    if (connection_->target_is_gone()) {
      problem_ = "the process has ended";
    } else if (connected_ && connection_->process_age() + kClockSlack < time_.elapsed()) {
      problem_ = "the process that answers now was started later";
    } else if (connected_) {
      last_seen_ = steady_clock::now();
    } else if (steady_clock::now() - last_seen_ > kPatience) {
      problem_ = "it did not answer again within 10 s";
    }
  }

  std::string Ask() {
    try {
      return connection_->Get("/debug/pprof/profile" + time_.Query(connection_->is_local()));
    } catch (const CliError& error) {
      connected_ = false;
      if (++questions_ == kMaxQuestions) problem_ = error.what();
      return "";
    }
  }

  void Pause() {
    std::this_thread::sleep_for(kBetween);
    ThrowIfInterrupted();
    progress_->Tick();
  }

  Connection* const connection_;
  const CaptureTime& time_;
  Progress* const progress_;
  const milliseconds lost_after_;
  steady_clock::time_point last_seen_;
  bool connected_ = false;
  int questions_ = 0;
  std::string problem_;
};

void CaptureNow(Connection* connection, const CaptureOptions& options, Captured* captured) {
  std::string path = "/debug/pprof/profile?seconds=" + std::to_string(options.seconds);
  if (options.hz) path += "&hz=" + std::to_string(*options.hz);
  const std::chrono::seconds length(options.seconds);
  const bool has_recording = connection->is_agent();
  Progress progress("CPU of " + connection->description(), length);
  const CaptureTime time(length);
  try {
    Response response = connection->Capture(path, length, [&progress] { progress.Tick(); });
    captured->profile = std::move(response.body);
    if (!has_recording || response.window.find(kCutShort) == std::string::npos) return;
    Rescue rescue(connection, time, &progress);
    std::string whole = rescue.Run();
    if (whole.empty()) return;  // the part that there is says that it was cut short
    captured->profile = std::move(whole);
    captured->note = rescue.Note("the agent's thread had to pause for the service");
  } catch (const CutOff& cut) {
    if (!has_recording) throw;
    Rescue rescue(connection, time, &progress);
    captured->profile = rescue.Run();
    if (captured->profile.empty()) throw CutOff(cut.what() + ("; " + rescue.problem()), cut.next());
    captured->note = rescue.Note("the connection was lost");
  }
}

}  // namespace

Captured CaptureCpu(Connection* connection, const CaptureOptions& options) {
  Captured captured;
  captured.agent = "plain Go pprof endpoint";
  captured.only_pid = connection->only_pid();
  if (connection->is_agent()) {
    const nlohmann::json& status = connection->status();
    captured.process = ProcessOf(status);
    captured.agent = "agent " + status.value("version", "?");
    captured.cpu_is_off = status.value("/cpu/effective_rate_hz"_json_pointer, 1) == 0;
  } else if (options.past.asked()) {
    throw UsageError(connection->description() +
                     " is a plain Go pprof endpoint: it keeps no recording, so --last, --from and "
                     "--to cannot be given");
  } else if (options.hz) {
    throw UsageError(connection->description() +
                     " is a plain Go pprof endpoint: its rate is fixed, "
                     "so --hz cannot be given");
  }
  if (options.past.asked()) {
    captured.profile = connection->Get("/debug/pprof/profile" + PastQuery(options.past));
    return captured;
  }
  CaptureNow(connection, options, &captured);
  return captured;
}

ObjectPlaces PlacesOf(const Target& target, Connection* connection) {
  ObjectPlaces places;
  if (target.kind == Target::Kind::kPid)
    places.root = "/proc/" + std::to_string(target.pid) + "/root";
  if (!connection->is_agent()) return places;
  places.fetch = [connection](const std::string& build_id, uint64_t offset, size_t size) {
    return connection->Get("/debug/sonde/objects/" + build_id +
                           "?offset=" + std::to_string(offset) + "&size=" + std::to_string(size));
  };
  return places;
}

}  // namespace sonde::cli
