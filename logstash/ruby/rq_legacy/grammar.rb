# encoding: utf-8
# What patterns/rq found on a line → the record. The same as shipper/legacy/grammar.py.

require_relative "dates"
require_relative "lines"

module RqLegacy
  class Grammar
    ECS_VERSION = "9.5.0"
    LONGEST_S = 366 * 86_400
    NUMBER_LIMIT = 40 # characters
    NS_PER_S = 1_000_000_000
    SIGNAL_BITS = 0x7F # of a status of waitpid(2)
    THOUSANDS = /\A\d{1,3}(?:,\d{3})+(?:\.\d+)?\z/
    DECIMAL = /\A\d{1,18}(?:[.,]\d+)?\z/
    TOOK = /\A(?:(\d{1,6}) days?, )?(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d{1,6}))?\z/
    RAISED = /(?u)\A([A-Za-z_][\w.]*)(?:: (.*))?\z/
    FUNCTION = /(?u)\A[A-Za-z_<][\w.<>]*\z/
    WORDS = /(?u)[^\w.]+/
    LOGGER = /(?u)\A[A-Za-z]\w*[._]/
    TRACEBACK = "Traceback (most recent call last)"

    def initialize(meanings)
      @phrases, @signals, @levels = meanings.values_at("phrases", "signals", "levels")
    end

    # What is said of a job; nil of any other line.
    def meaning(facts)
      return @phrases[facts["phrase"].downcase] if facts["phrase"]
      @phrases["started"] if facts["job_id"] && facts["queue"]
    end

    # The record of a line by itself: of a job if it tells one's start or end, else of the application.
    def record(facts, moment, host:, path:, service:, dated:)
      said = meaning(facts)
      body = facts["body"] || ""
      first, _, rest = body.partition("\n")
      when_ = Dates.written(moment)
      event = { "dataset" => said ? "rq.job" : "rq.app", "kind" => "event" }
      made = {
        "event" => event,
        "ecs" => { "version" => ECS_VERSION },
        "message" => Lines.shorten(said ? first : body),
        "service" => service,
        "tags" => tags(facts, said, dated)
      }
      host = facts["host"] || host
      made["host"] = { "name" => host } if host
      log = log_of(facts, path)
      made["log"] = log unless log.empty?
      made["process"] = { "pid" => facts["pid"].to_i } if facts["pid"]
      messaging = messaging_of(facts, said)
      made["messaging"] = messaging unless messaging.empty?
      function = function_of(facts)
      made["code"] = { "function" => { "name" => function } } if function
      rq = {}
      rq["retries_left"] = facts["retries_left"].to_i if facts["retries_left"]
      if said
        tell(event, rq, said, when_)
        tell_task(event, made["tags"], facts, moment)
        tell_failure(made, event, rq, facts, first, rest) if said["outcome"] == "failure"
      elsif rest.include?(TRACEBACK)
        made["error"] = raised(rest)
      end
      made["rq"] = rq unless rq.empty?
      made
    end

    # What is known of a line that nothing can be made of.
    def plain(text, host:, path:, service:)
      record({ "body" => text }, 0, host: host, path: path, service: service, dated: false)
    end

    # How long RQ says that a job took, in microseconds.
    def took(facts)
      found = TOOK.match(facts["took"] || "")
      return nil unless found
      days, hours, minutes, whole = found[1..4].map(&:to_i)
      (((days * 24 + hours) * 60 + minutes) * 60 + whole) * Dates::SECOND + (found[5] || "").ljust(6, "0").to_i
    end

    # A task's time in nanoseconds; nil of what is no such number, is negative, or more than a year.
    def nanoseconds(text)
      number = Lines.strip(text)
      number = Lines.rstrip(number.sub(/(?:seconds?|secs?|s)\z/, ""))
      return nil if number.length > NUMBER_LIMIT
      if THOUSANDS.match?(number)
        number = number.delete(",")
      elsif !DECIMAL.match?(number)
        return nil
      end
      whole, _, fraction = number.tr(",", ".").partition(".")
      taken = whole.to_i * NS_PER_S + fraction.ljust(9, "0")[0, 9].to_i
      taken <= LONGEST_S * NS_PER_S ? taken : nil
    end

    private

    def tags(facts, said, dated)
      tags = ["legacy"]
      tags << "unparsed" unless said || facts["notice"] || facts["phrase"]
      tags << "undated" unless dated
      tags
    end

    def log_of(facts, path)
      log = {}
      log["file"] = { "path" => path } if path
      words = (facts["decoration"] || "").split(WORDS)
      level = facts["level"] || words.find { |word| @levels.key?(word) }
      log["level"] = @levels[level] if level
      logger = words.find { |word| !@levels.key?(word) && LOGGER.match?(word) }
      log["logger"] = logger if logger
      log
    end

    def messaging_of(facts, said)
      messaging = {}
      messaging["destination"] = { "name" => facts["queue"] } if facts["queue"]
      messaging["message"] = { "id" => facts["job_id"] } if facts["job_id"]
      messaging["client"] = { "id" => facts["worker"].delete_prefix("rq:worker:") } if facts["worker"]
      messaging.empty? && !said ? {} : { "system" => "rq" }.merge(messaging)
    end

    def function_of(facts)
      return facts["function"] if facts["function"]
      if facts["task"]
        task = Lines.strip(facts["task"])
        return task.empty? ? nil : task
      end
      name, found, _ = (facts["description"] || "").partition("(")
      name if !found.empty? && FUNCTION.match?(name)
    end

    def tell(event, rq, said, when_)
      event["category"] = ["process"]
      event["type"] = [said["type"]]
      event["action"] = said["action"]
      event["outcome"] = said["outcome"]
      event["reason"] = said["reason"] if said["reason"]
      event["end"] = when_ if said["type"] == "end"
      rq["status"] = said["status"]
      %w[final inferred cause].each { |name| rq[name] = said[name] if said.key?(name) }
    end

    # The time that a task logger says its task took.
    def tell_task(event, tags, facts, moment)
      return unless facts["seconds"]
      taken = nanoseconds(facts["seconds"])
      return tags << "bad_duration" unless taken
      event["duration"] = taken
      event["start"] = Dates.written(moment - taken / 1000)
    end

    def tell_failure(made, event, rq, facts, first, rest)
      if facts["waitpid"]
        status = facts["waitpid"].to_i # of None it is 0
        number = status & SIGNAL_BITS
        if number.positive?
          rq["signal"] = @signals.fetch(number.to_s, "SIG#{number}")
        else
          event["reason"] = "exited"
          made["process"] = (made["process"] || {}).merge("exit_code" => status >> 8)
        end
        made["error"] = { "message" => first }
      elsif rest.include?(TRACEBACK)
        made["error"] = raised(rest)
        event["reason"] = "timeout" if (made["error"]["type"] || "").end_with?("JobTimeoutException")
      else
        made["error"] = { "message" => first }
        made["error"]["stack_trace"] = Lines.shorten(rest) unless rest.empty?
      end
    end

    # `error` of a traceback. One that was cut off has no type and no message.
    def raised(stack)
      error = { "stack_trace" => Lines.shorten(stack) }
      stack.split("\n", -1).reverse_each do |line|
        break if line.start_with?(" ", "Traceback ")
        found = RAISED.match(line)
        next unless found
        error["type"] = found[1]
        error["message"] = Lines.shorten(found[2]) unless (found[2] || "").empty?
        break
      end
      error
    end
  end
end
