# encoding: utf-8
# Where an event's lines stand in their file. Logstash's file input does not tell, and its multiline codec leaves
# empty lines out; but the file is there to be looked into. It tells the offset, on which the id and the day of a line
# without a date rest, and what the lines are to the byte.

require_relative "dates"

module RqLegacy
  # One file, read in step with the events that come of it.
  class LogFile
    MISSES = 20 # after which a file is not searched any more, only looked at where the next line should be
    REST_S = 1
    # A last line without an end, which belongs to the record before it: lines.py.
    CONTINUES = Regexp.new(<<'TEXT'.strip, Regexp::NOENCODING)
^(?:[ \t]|[\])}]|\r?$|Traceback \(most recent|During handling of the above|The above exception was|\+-|\| |(?:[A-Za-z_]\w*\.)*\w*(?:Error|Exception|Warning|Exit|Interrupt|Iteration|Group|Timeout)(?::|\r?$)|(?:[a-z_]\w*\.)+[A-Z]\w*(?::|\r?$))
TEXT

    attr_reader :written

    # `at`: how far the input had come in an earlier run.
    def initialize(path, resumed = {})
      @path = path
      @resumed = resumed
      @inode = nil
    end

    # [[offset, bytes], …] of an event's lines, empty ones between them included; nil if they are not found. The
    # second is a last line that has no end and waits for none.
    def locate(lines)
      File.open(@path, "rb") do |io|
        renew(io.stat)
        from, to = find(io, lines)
        return nil unless from
        @at = to
        @days.learn(io) if to > @days.read_to
        io.seek(from)
        with_rest(io, from, io.read(to - from))
      end
    rescue SystemCallError, IOError
      nil # it was renamed, or may not be read
    end

    def day(offset, clock, local)
      @days.day(offset, clock, @written, local)
    end

    private

    def renew(stat)
      if stat.ino != @inode || stat.size < @at
        @at = @inode ? 0 : @resumed.fetch(stat.ino, 0)
        @at = 0 if @at > stat.size
        @inode = stat.ino
        @days = Dates::Days.new
        @misses = 0
      end
      changed = stat.mtime
      @idle = Time.now - changed >= REST_S
      @size = stat.size
      @written = Dates.last_written(File.basename(@path), changed.to_i * Dates::SECOND + changed.usec)
    end

    def find(io, lines)
      there = match(io, @at, lines)
      return there if there
      return nil if @misses >= MISSES
      found = search(io, @at, @size, lines, false) || search(io, 0, @at, lines, true)
      @misses += 1 unless found
      found
    end

    # The first place of the lines in a part of the file, or the last one.
    def search(io, from, upto, lines, last)
      found = nil
      io.seek(from)
      while from < upto && (line = io.gets)
        if bare(line) == lines[0]
          found = match(io, from, lines) || found
          return found if found && !last
          io.seek(from + line.bytesize)
        end
        from += line.bytesize
      end
      found
    end

    # From where to where the lines stand, if they do so at this place.
    def match(io, at, lines)
      io.seek(at)
      from = nil
      lines.each do |wanted|
        line = io.gets
        while line == "\n"
          at += 1
          line = io.gets
        end
        return nil unless line && bare(line) == wanted
        from ||= at
        at += line.bytesize
      end
      [from, at]
    end

    def bare(line)
      line.delete_suffix("\n")
    end

    # The input waits for the end of a line. In a file at rest there may never be one.
    def with_rest(io, from, bytes)
      rest = io.gets if @idle
      return [[from, bytes]] if rest.nil? || rest.end_with?("\n")
      return [[from, bytes + rest]] if rest.match?(CONTINUES)
      [[from, bytes], [from + bytes.bytesize, rest]]
    end
  end

  # The files that events came of.
  class Files
    MANY = 10_000

    def initialize(data_folder)
      @resumed = data_folder ? positions(data_folder) : {}
      @files = {}
    end

    def of(path)
      file = @files.delete(path) || LogFile.new(path, @resumed)
      @files.shift if @files.size >= MANY
      @files[path] = file # the last that was used stands last
    end

    private

    # How far an earlier run had come: inode → offset. Read before the input goes on from there.
    def positions(data_folder)
      Dir.glob(File.join(data_folder, "plugins/inputs/file/.sincedb_*")).flat_map do |name|
        File.readlines(name).map { |line| line.split(" ", 5) }.map { |words| [words[0].to_i, words[3].to_i] }
      end.to_h
    rescue SystemCallError
      {}
    end
  end
end
