# encoding: utf-8
# The steps of 20-legacy.conf that grok has no words for. Each ruby filter names its own:
#
#   take    an event → one for each record in it, cleaned; JSON objects are told from text
#   make    what grok found → the record
#   finish  its id, its index
#
# Nothing is dropped and nothing raises: what fails becomes a record of the application, tagged `unparsed`.
# Only @metadata is used in between, so that no helper can be left in a document.

require "json"
require "socket"
folder = File.join(File.dirname(File.expand_path(__FILE__)), "rq_legacy")
%w[dates lines files grammar pairing].each { |name| require File.join(folder, name) }

module ::RqLegacy
  class Steps
    PERIODS = { "rq.job" => "%Y.%m.%d", "rq.app" => "%Y.%m.%d", "rq.metric" => "%Y.%m.%d", "rq.shipper" => "%Y.%m.%d", "rq.audit" => "%Y.%m", "rq.alert" => "%Y.%m" }.freeze
    DATASETS = { "rq.job" => "rq.job", "rq.app" => "rq.app", "rq.shipper" => "rq.shipper", "rq.audit" => "rq.audit", "rq.alert" => "rq.alert", "rq.queue" => "rq.metric", "rq.worker" => "rq.metric", "rq.redis" => "rq.metric", "rq.cron" => "rq.metric" }.freeze
    OTHERS = "rq.app"
    RECORD = '{"@timestamp":"' # how a record of the shipper's begins
    ID_LIMIT = 512 # bytes, Elasticsearch's own
    BEATS = "beats_input_codec_plain_applied" # what the input tags
    MANY = 10_000 # files whose last time is remembered

    # One for the pipeline: its filters share what is known of files and jobs.
    class << self
      attr_accessor :shared
    end

    def initialize(params)
      @service = %w[name version environment].map { |name| [name, params[name].to_s] }.reject { |_, value| value.empty? }.to_h
      @namespace = params["namespace"]
      @local = Dates.zone(params["timezone"])
      @grammar = Grammar.new(JSON.parse(File.read(params["grammar"], encoding: "UTF-8")))
      @host = Socket.gethostname
      @files = Files.new(defined?(LogStash::SETTINGS) && LogStash::SETTINGS.get("path.data"))
      @pairing = Pairing.new
      @last = {} # [host, path] → [the last line's time, {text → how often it was there at that time}]
    end

    def take(event)
      object = object_of(event)
      return [object] if object
      pieces = pieces_of(event)
      ([event] + pieces.drop(1).map { event.clone }).zip(pieces).map do |one, (offset, text)|
        next unless text # blank lines and no others
        one.set("[@metadata][offset]", offset)
        one.set("[@metadata][line]", text)
        one.set("[@metadata][legacy]", true)
        one
      end.compact
    rescue StandardError => wrong
      [plain(event, wrong)]
    end

    def make(event)
      facts = facts_of(event)
      path = event.get("[log][file][path]")
      host = host_of(event)
      line = event.get("[@metadata][line]")
      moment, dated = moment_of(event, facts, host, path)
      record = @grammar.record(facts, moment, host: host, path: path, service: @service, dated: dated)
      job, key, step = @pairing.place(record, facts, moment, "#{host}\u0000#{path}")
      if job
        record["messaging"] ||= { "system" => "rq" }
        record["messaging"]["message"] ||= { "id" => job }
      end
      count_up(event, host, path, moment, line)
      become(event, record, moment, host, path)
      event.set("[@metadata][pair]", key)
      event.set("[@metadata][step]", step)
      event.set("[@metadata][took]", @grammar.took(facts))
      [event]
    rescue StandardError => wrong
      [plain(event, wrong)]
    end

    def finish(event)
      moment = event.get("[@metadata][moment]")
      plain(event, nil) unless moment
      moment ||= event.get("[@metadata][moment]")
      id = event.get("[@metadata][id]")
      unless id
        id = format("%012x", moment.div(1000)) + event.get("[@metadata][hash]").to_s[0, 20]
        event.set("[event][id]", id) if event.get("[@metadata][made]")
        event.set("[@metadata][id]", id)
      end
      tags = event.get("tags")
      if event.get("[@metadata][made]") && tags.any? { |tag| tag.start_with?("_") }
        event.set("tags", tags.reject { |tag| tag.start_with?("_") } | ["unparsed"]) # aggregate failed
      end
      dataset = event.get("[event][dataset]")
      kind = DATASETS.fetch(dataset)
      day = Time.at(moment.div(Dates::SECOND)).utc.strftime(PERIODS.fetch(kind))
      event.set("[@metadata][index]", "#{kind.tr(".", "-")}-#{@namespace}-#{day}")
      event.remove("@version")
      [event]
    end

    private

    # --- text ---

    # [offset, text] of each record of an event.
    def pieces_of(event)
      bytes = bytes_of(event)
      offset = event.get("[log][offset]")
      found = event.get("[@metadata][source]") == "file" && locate(event, bytes)
      (found || [[offset, bytes]]).flat_map do |start, raw|
        Lines.apart(start || 0, raw).map.with_index do |(at, piece), number|
          [start ? at : (number.zero? ? nil : "+#{number}"), Lines.text_of(piece)]
        end
      end
    end

    # The files' input and TCP's hand every byte on as a character, see 10-inputs.conf.
    def bytes_of(event)
      message = (event.get("message") || event.to_json).to_s
      as_bytes = %w[file tcp].include?(event.get("[@metadata][source]"))
      as_bytes ? message.encode(Encoding::ISO_8859_1).b : message.b
    rescue EncodingError
      message.b
    end

    def locate(event, bytes)
      path = event.get("[log][file][path]")
      lines = bytes.split("\n").reject(&:empty?)
      @files.of(path).locate(lines) if path && !lines.empty?
    end

    def facts_of(event)
      found = event.get("[@metadata][rq]") || {}
      found.map { |name, value| [name.delete_prefix("rq_"), value.is_a?(Array) ? value[0] : value] }.to_h
           .reject { |_, value| value.nil? || value == "" }
    end

    # [when, whether the line tells]. One that does not tell is of the time of the line before it.
    def moment_of(event, facts, host, path)
      file = event.get("[@metadata][source]") == "file" && event.get("[@metadata][offset]").is_a?(Integer) ? @files.of(path) : nil
      reference = (file && file.written) || micros(event.timestamp)
      before = path && @last[[host, path]]
      return [before ? before[0] : reference, false] unless facts["clock"]
      day = if facts["date"]
              Dates.day_of(facts["date"], reference)
            elsif file
              file.day(event.get("[@metadata][offset]"), facts["clock"], @local)
            else
              Dates.latest(facts["clock"], reference, @local)
            end
      [Dates.moment(day, facts["clock"], facts["fraction"], facts["zone"], @local), true]
    rescue Dates::Wrong
      [before ? before[0] : reference, false]
    end

    # Remembers the time; lines that are the same at the same time, and of which no offset is known, are counted.
    def count_up(event, host, path, moment, line)
      place = [host, path]
      before = @last.delete(place)
      before = [moment, {}] if before.nil? || before[0] != moment
      @last.shift if @last.size >= MANY
      @last[place] = before
      return if event.get("[@metadata][offset]").is_a?(Integer)
      before[1][line.hash] = count = before[1].fetch(line.hash, 0) + 1
      event.set("[@metadata][offset]", "#{event.get("[@metadata][offset]")}##{count}")
    end

    # The event has the record's fields and no others.
    def become(event, record, moment, host, path)
      (event.to_hash.keys - ["@timestamp"]).each { |name| event.remove(name) }
      record.each { |name, value| event.set(name, value) }
      event.timestamp = stamp(moment)
      event.set("[@metadata][moment]", moment)
      event.set("[@metadata][host]", host)
      event.set("[@metadata][path]", path)
      event.set("[@metadata][made]", true)
    end

    # What is kept of an event of which something failed.
    def plain(event, wrong)
      warn("rq legacy: #{wrong.class}: #{wrong.message} #{wrong.backtrace&.first}") if wrong
      text = event.get("[@metadata][line]") || Lines.text_of(bytes_of(event))
      moment = micros(event.timestamp)
      host, path = host_of(event), event.get("[log][file][path]")
      become(event, @grammar.plain(text, host: host, path: path, service: @service), moment, host, path)
      event.set("[@metadata][line]", text)
      event
    end

    def host_of(event)
      found = event.get("[host][name]") || event.get("[@metadata][input][tcp][source][ip]")
      found.is_a?(String) ? found : @host
    end

    # --- JSON ---

    # The event of a JSON object: a record of the shipper's on any way, any other object by TCP; nil of text.
    def object_of(event)
      message = event.get("message")
      tcp = event.get("[@metadata][source]") == "tcp"
      return object_event(event, event.to_hash, event.to_json) if decoded?(event, message)
      return nil unless message.is_a?(String) && (tcp ? message.lstrip.start_with?("{") : message.start_with?(RECORD))
      message = message.encode(Encoding::ISO_8859_1).force_encoding(Encoding::UTF_8) if tcp || event.get("[@metadata][source]") == "file"
      return nil unless message.valid_encoding?
      object = LogStash::Json.load(message)
      object.is_a?(Hash) ? object_event(event, object, message) : nil
    rescue LogStash::Json::ParserError, EncodingError
      nil
    end

    # Whether the input has decoded a record already.
    def decoded?(event, message)
      inner = event.get("event")
      (inner.is_a?(Hash) && DATASETS.key?(inner["dataset"])) || (message.nil? && !event.get("[@metadata][source]").nil?)
    end

    # It goes on as it is; what it lacks is given to it.
    def object_event(event, object, line)
      moment = object_moment(object["@timestamp"])
      inner = object["event"] || {}
      return nil unless moment && inner.is_a?(Hash)
      inner = inner.reject { |name, _| name == "original" }
      dataset = DATASETS.key?(inner["dataset"]) ? inner["dataset"] : OTHERS
      object = object.merge("tags" => object["tags"] - [BEATS]) if object["tags"].is_a?(Array)
      content = object.reject { |name, _| %w[@timestamp @version @metadata].include?(name) || (name == "tags" && object[name] == []) }
      made = LogStash::Event.new(content.merge("event" => inner.merge("dataset" => dataset)))
      made.timestamp = stamp(moment)
      id = inner["id"]
      made.set("[@metadata][id]", id) if id.is_a?(String) && !id.empty? && id.bytesize <= ID_LIMIT
      made.set("[@metadata][moment]", moment)
      made.set("[@metadata][host]", host_of(event))
      made.set("[@metadata][path]", event.get("[log][file][path]"))
      made.set("[@metadata][offset]", event.get("[log][offset]"))
      made.set("[@metadata][line]", line)
      made
    end

    # A record without a time is of now.
    def object_moment(value)
      case value
      when nil then Dates.now
      when LogStash::Timestamp then micros(value)
      when String then Dates.iso(value)
      end
    end

    def micros(time)
      time.to_i * Dates::SECOND + time.usec
    end

    def stamp(moment)
      LogStash::Timestamp.new(Dates.written(moment))
    end
  end
end unless defined?(::RqLegacy::Steps)

def register(params)
  @step = params.fetch("step").to_sym
  ::RqLegacy::Steps.shared = ::RqLegacy::Steps.new(params) if @step == :take
end

def filter(event)
  ::RqLegacy::Steps.shared.public_send(@step, event)
end
