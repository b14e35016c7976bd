// Draw what the page carries as JSON. Labels are canvas text, so nothing of them becomes markup.
(() => {
  const charts = new Map();
  const style = () => getComputedStyle(document.documentElement);
  const color = (name, otherwise) => style().getPropertyValue(`--place-${name}`).trim() || otherwise;
  const number = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const whole = new Intl.NumberFormat("en");

  const values = (series) => (series.seconds ? series.seconds.map((each) => each / 3600) : series.counts);
  const told = (value, unit) => (unit === "h" ? `${number.format(value)} h` : `${whole.format(value)} ${unit}`.trim());

  function option(data) {
    const fontSize = 12;
    const ink = style().getPropertyValue("--chart-ink").trim() || "#555";
    const faint = style().getPropertyValue("--chart-line").trim() || "#ddd";
    const sideways = data.kind !== "bars_over_time";
    const stacked = data.kind === "stacked_bars";
    const names = { type: "category", data: data.categories, inverse: sideways,
      axisLabel: { color: ink, fontSize, width: data.notes ? 300 : 170, overflow: "truncate" }, axisTick: { show: false }, axisLine: { lineStyle: { color: faint } } };
    const amounts = { type: "value", minInterval: data.unit === "h" ? 0 : 1, axisLabel: { color: ink, fontSize, formatter: (value) => whole.format(value) },
      splitLine: { lineStyle: { color: faint } } };
    return {
      animationDuration: 300,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: ink },
      grid: { left: 8, right: 24, top: stacked ? 36 : 12, bottom: 8, containLabel: true },
      legend: stacked ? { top: 0, left: 0, textStyle: { color: ink, fontSize }, itemWidth: 14, itemHeight: 10,
        data: data.series.filter((each) => values(each).some((value) => value)).map((each) => each.name) } : undefined,
      tooltip: { trigger: "axis", renderMode: "richText", axisPointer: { type: "shadow" },
        formatter: (points) => [points[0].name, ...points.filter((point) => point.value)
          .map((point) => `${point.seriesName}: ${told(point.value, data.unit)}`),
          ...(data.notes && data.notes[points[0].dataIndex] ? [data.notes[points[0].dataIndex]] : [])].join("\n") },
      xAxis: sideways ? amounts : names,
      yAxis: sideways ? names : amounts,
      series: data.series.map((each) => ({
        name: each.name, type: "bar", stack: stacked ? "all" : undefined, data: values(each),
        itemStyle: { color: color(each.place, "#7a8699"), borderRadius: stacked ? 0 : 3 }, barMaxWidth: 26,
        label: data.notes ? { show: true, position: "right", color: ink, fontSize,
          formatter: (point) => data.notes[point.dataIndex] || `${number.format(point.value)} h` } : undefined,
      })),
    };
  }

  function draw() {
    for (const place of document.querySelectorAll("[data-chart]")) {
      const source = document.getElementById(place.dataset.chart);
      if (!source) continue;
      let chart = charts.get(place);
      if (!chart) {
        chart = echarts.init(place, null, { renderer: "canvas" });
        charts.set(place, chart);
        new ResizeObserver(() => chart.resize()).observe(place);
      }
      const data = JSON.parse(source.textContent);
      const drawn = option(data);
      if (data.notes) drawn.grid.right = 190;
      chart.setOption(drawn, { notMerge: false });
    }
  }

  const start = () => { if (window.echarts) draw(); };
  document.addEventListener("DOMContentLoaded", start);
  document.addEventListener("htmx:after:swap", start);
  new MutationObserver(start).observe(document.documentElement, { attributes: true, attributeFilter: ["data-bs-theme"] });
})();
