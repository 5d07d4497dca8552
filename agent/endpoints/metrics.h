// SPDX-License-Identifier: Apache-2.0
// The families of /metrics, made anew at each scrape. Label sets are bounded: thread names by
// ThreadTotals, paths by the endpoint table, reasons and tables by the collectors. Agent thread
// only.
#pragma once

#include <prometheus/metric_family.h>

#include <string>
#include <vector>

#include "agent/endpoints/context.h"

namespace sonde {

// Updates context->thread_totals.
std::vector<prometheus::MetricFamily> CollectMetrics(Context* context);

// Text format 0.0.4.
std::string FormatMetrics(std::vector<prometheus::MetricFamily> families);

}  // namespace sonde
