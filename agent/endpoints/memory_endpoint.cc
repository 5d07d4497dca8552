// SPDX-License-Identifier: Apache-2.0
// /debug/sonde/memory: where the process's memory is, in parts that add up.
#include <algorithm>
#include <string>

#include "agent/endpoints/endpoint_table.h"
#include "agent/endpoints/frame_names.h"
#include "agent/endpoints/memory_source.h"
#include "agent/endpoints/report_answer.h"
#include "agent/endpoints/report_writer.h"

namespace sonde {
namespace {

constexpr size_t kFramesShown = 6;

void WriteCgroup(const MemoryPage& page, ReportWriter* out) {
  const CgroupMemory& cgroup = page.facts.cgroup;
  out->BeginObject("cgroup");
  out->Add("version", cgroup.version);
  if (cgroup.version == 0) {
    out->Add("problem", cgroup.problem);
  } else {
    out->Add("current_bytes", cgroup.current);
    out->Add("limit_bytes", cgroup.limit);
    out->Add("rss_bytes", page.facts.rss);
    out->Add("page_cache_bytes", page.cgroup.page_cache);
    out->Add("tmpfs_bytes", page.cgroup.tmpfs);
    out->Add("kernel_bytes", page.cgroup.kernel);
    out->Add("other_bytes", page.cgroup.other);
  }
  out->EndObject();
}

void WriteParts(const MemoryPage& page, ReportWriter* out) {
  out->Add("rss_bytes", page.facts.rss);
  out->BeginObject("parts");
  for (size_t i = 0; i < kMemoryParts; ++i) {
    out->Add(MemoryPartName(static_cast<MemoryPart>(i)), page.parts[i]);
  }
  out->EndObject();
  out->Add("unexplained_share", page.unexplained_share);
}

void WriteDetails(const MemoryPage& page, ReportWriter* out) {
  out->BeginObject("live_heap");
  out->Add("sampled", page.live_is_sampled);
  out->Add("error_bytes", page.facts.live.error_bytes);
  out->Add("not_in_memory_bytes", page.live_not_in_memory);
  out->EndObject();
  out->Add("thread_stacks", page.facts.mapped.thread_stacks);
  out->Add("mappings", page.facts.mapped.regions);
  out->Add("swapped_bytes", page.facts.mapped.swapped);
}

void WriteMmapSites(Context* context, const MemoryPage& page, ReportWriter* out) {
  FrameNames names(context);
  out->BeginArray("mmap_sites");
  for (const MmapSite& site : page.facts.mmap_sites) {
    out->BeginObject("");
    out->Add("resident_bytes", site.resident);
    out->Add("mapped_bytes", site.bytes);
    std::string stack;
    for (size_t i = 0; i < std::min(site.frames.size(), kFramesShown); ++i)
      stack += (i == 0 ? "" : " < ") + names.Of(site.frames[i] - 1).text;
    out->Add("stack", stack);
    out->EndObject();
  }
  out->EndArray();
}

void WriteAllocators(const MemoryPage& page, ReportWriter* out) {
  out->BeginArray("allocators");
  for (const AllocatorNumbers& one : page.facts.allocators) {
    out->BeginObject("");
    out->Add("name", one.name);
    out->Add("counted", one.counted);
    out->Add("resident_bytes", one.resident);
    out->Add("in_use_bytes", one.in_use);
    out->Add("free_bytes", one.free);
    out->Add("how", one.how);
    out->Add("problem", one.problem);
    out->EndObject();
  }
  out->EndArray();
}

void WritePage(Context* context, const MemoryPage& page, ReportWriter* out) {
  out->BeginObject("");
  out->Add("unix_ms", page.unix_ms);
  out->Add("cost_ms", page.cost_ms);
  out->Add("verdict", MemoryVerdictName(page.verdict));
  out->Add("verdict_text", page.verdict_text);
  WriteCgroup(page, out);
  WriteParts(page, out);
  WriteDetails(page, out);
  WriteAllocators(page, out);
  WriteMmapSites(context, page, out);
  out->BeginArray("notes");
  for (const std::string& note : page.facts.notes) out->Add("", note);
  out->EndArray();
  out->EndObject();
}

}  // namespace

http::Answer ServeMemory(Context& context, const http::Request& request) {
  return AnswerReport(request, [&context](ReportWriter* out) {
    WritePage(&context, context.sources->Memory().Page(), out);
  });
}

}  // namespace sonde
