# encoding: utf-8
# A job's start ↔ its end, as shipper/legacy/pairing.py. Which jobs are open in which file is remembered here; what
# their starts told is in the maps of the aggregate filter, by the key that is given here.

require_relative "dates"

module RqLegacy
  class Pairing
    FORGET_AFTER = Dates::DAY # a job whose end stands nowhere; and how far another file's line may be away
    MANY = 100_000 # open jobs, above which those are looked for

    def initialize
      @open = {} # job → {path → when it began}
      @by_path = {} # path → {job → true}
    end

    # [job, key of its map, "start" or "note" or "end"]: what a line has to do with a job.
    def place(record, facts, moment, path)
      action = record["event"]["action"]
      job = facts["job_id"] || (only(path) if about_a_job?(facts))
      return unless job
      if action == "job-started"
        start(job, path, moment)
        return [job, key(job, path), "start"]
      end
      at = opened_at(job, path, moment)
      return [job, nil, nil] unless at
      return [job, key(job, at), "note"] unless action
      return [job, nil, nil] unless record["event"]["type"] == ["end"]
      forget(job, at)
      [job, key(job, at), "end"]
    end

    private

    def key(job, path)
      "#{path}\u0000#{job}"
    end

    # A worker does one job at a time: a line that names no job is about the one that is open in its file.
    def only(path)
      jobs = @by_path[path]
      jobs.each_key.first if jobs && jobs.size == 1
    end

    def about_a_job?(facts)
      phrase = facts["phrase"]
      phrase && phrase != "AbandonedJobError" && !facts["task"]
    end

    # The file in which the job was started: this one, or another one at about this time.
    def opened_at(job, path, moment)
      places = @open[job]
      return nil unless places
      return path if places.key?(path)
      near = places.select { |_, at| (moment - at).between?(0, FORGET_AFTER) }
      near.max_by { |_, at| at }&.first
    end

    def start(job, path, moment)
      (@open[job] || {}).select { |_, at| (moment - at).abs <= FORGET_AFTER }.each_key { |other| forget(job, other) }
      (@open[job] ||= {})[path] = moment
      (@by_path[path] ||= {})[job] = true
      forget_old(moment) if @open.size > MANY
    end

    def forget(job, path)
      places = @open[job]
      places.delete(path)
      @open.delete(job) if places.empty?
      jobs = @by_path[path]
      return unless jobs
      jobs.delete(job)
      @by_path.delete(path) if jobs.empty?
    end

    # If all of them are young, the oldest go: memory has an end.
    def forget_old(moment)
      old = @open.flat_map { |job, places| places.map { |path, at| [at, job, path] } }.sort
      stale = old.take_while { |at, _, _| moment - at > FORGET_AFTER }
      stale = old.first(MANY / 10) if stale.empty?
      stale.each { |_, job, path| forget(job, path) }
    end
  end

  # What the aggregate filters do.
  module Pairs
    module_function

    def remember(event, map)
      map.clear
      map["at"] = event.get("[@metadata][moment]")
      map["messaging"] = event.get("messaging")
      map["code"] = event.get("code")
    end

    def note(event, map)
      took = event.get("[@metadata][took]")
      map["took"] = took if took&.positive?
      left = event.get("[@metadata][rq][rq_retries_left]")
      map["retry"] = [left.to_i, event.get("[@metadata][rq][rq_retry_at]")] if left
    end

    def complete(event, map)
      moment = event.get("[@metadata][moment]")
      event.set("messaging", map["messaging"].merge(event.get("messaging")))
      event.set("code", map["code"]) if map["code"] && !event.get("code")
      if moment >= map["at"]
        event.set("[event][start]", Dates.written(map["at"]))
        event.set("[event][duration]", (map["took"] || moment - map["at"]) * 1000)
      else
        event.set("tags", event.get("tags") + ["bad_duration"]) # the clock was put back
      end
      retried(event, *map["retry"]) if map["retry"] && event.get("[event][outcome]") == "failure"
    end

    def retried(event, left, text)
      event.set("[event][action]", "job-retried")
      event.set("[event][type]", ["change"])
      event.set("[rq][retry_verdict]", "will_retry")
      event.set("[rq][retries_left]", left)
      event.remove("[rq][final]")
      at = text && Dates.retry_at(text)
      event.set("[rq][retry_at]", Dates.written(at)) if at
    end
  end
end
